import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import type { JournalEntry } from '../../../infra/simulators/comfyui/journal.js';
import type { Evidence, Violation } from './check-invariants.js';

/** From the moment a prompt was queued to the moment it was over; times in milliseconds since the epoch. */
interface Life {
  readonly promptId: string;
  readonly from: number;
  until: number;
}

/** Numbers beyond the last recorded one that are looked for: a reset or a late claim may have minted some. */
const SPARE_SUBMISSIONS = 5;

/** I4: at most one live prompt for each generation at any instant, and each submission number is rendered at most once. */
export async function checkRenderings(evidence: Evidence): Promise<readonly Violation[]> {
  const journals = await Promise.all(evidence.comfyUrls.map(journalOf));
  const lives = journals.flatMap(livesIn);
  const starts = journals.flat().filter(({ event }) => event === 'rendering_started');
  return evidence.generations.flatMap(({ id, submission }): Violation[] => {
    const promptIds = Array.from({ length: submission + SPARE_SUBMISSIONS }, (_, index) => promptIdOf(id, index + 1));
    const own = lives
      .filter(({ promptId }) => promptIds.includes(promptId))
      .sort((one, other) => one.from - other.from);
    return [
      ...promptIds
        .filter((promptId) => starts.filter((start) => start.promptId === promptId).length > 1)
        .map((promptId): Violation => `I4 the prompt ${promptId} of ${id} was rendered more than once`),
      ...own
        .filter((life, index) => own.slice(0, index).some((other) => isRival(other, life)))
        .map((life): Violation => `I4 ${id} had another live prompt when ${life.promptId} was queued`),
    ];
  });
}

/** A second copy of the same prompt is found by the count of its renderings. */
function isRival(earlier: Life, later: Life): boolean {
  return earlier.promptId !== later.promptId && earlier.until > later.from;
}

async function journalOf(url: string): Promise<readonly JournalEntry[]> {
  const response = await fetch(`${url}/simulator/journal`).catch(() => null);
  if (response?.headers.get('content-type')?.includes('ndjson') !== true) return []; // no simulator is there
  const lines = (await response.text()).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as JournalEntry);
}

function livesIn(journal: readonly JournalEntry[]): readonly Life[] {
  const lives: Life[] = [];
  const open = new Map<string, Life>();
  let last = 0;
  for (const { event, promptId, at } of journal) {
    const now = Date.parse(at);
    if (event === 'started') {
      // The one before was killed: its prompts lived at least until its last line.
      for (const life of open.values()) life.until = last;
      open.clear();
    }
    if (event === 'prompt_queued' && promptId !== undefined) {
      const life = { promptId, from: now, until: Number.POSITIVE_INFINITY };
      lives.push(life);
      open.set(promptId, life);
    }
    if ((event === 'rendering_finished' || event === 'queue_deleted') && promptId !== undefined) {
      const life = open.get(promptId);
      if (life !== undefined) life.until = now;
      open.delete(promptId);
    }
    last = now;
  }
  return lives;
}
