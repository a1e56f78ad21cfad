import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import type { JournalEntry } from '../../../infra/simulators/comfyui/journal.js';
import type { Evidence, Violation } from './check-invariants.js';

/** From the moment a prompt was queued to the moment it was over; times in milliseconds since the epoch. */
interface Life {
  readonly promptId: string;
  readonly from: number;
  until: number;
}

/** A rendering that began, on one backend in one of the lives of its ComfyUI. */
interface Rendering {
  readonly promptId: string | undefined;
  readonly backend: number;
  readonly life: number;
}

/** Numbers beyond the last recorded one that are looked for: a reset or a late claim may have minted some. */
const SPARE_SUBMISSIONS = 5;

/**
 * I4: at most one live prompt for each generation at any instant, and each submission number is rendered at most once: on
 * one backend, and there once in each life of its ComfyUI, which forgets everything when it dies. What was taken over from a
 * backend that is lost or does not stop is told to the caller as abandoned, and counts apart.
 */
export async function checkRenderings(evidence: Evidence): Promise<readonly Violation[]> {
  const journals = await Promise.all(evidence.comfyUrls.map(journalOf));
  const lives = journals.flatMap(livesIn);
  const renderings = journals.flatMap(renderingsIn);
  return evidence.generations.flatMap(({ id, submission, abandoned }): Violation[] => {
    const promptIds = Array.from({ length: submission + SPARE_SUBMISSIONS }, (_, index) => promptIdOf(id, index + 1));
    const own = lives
      .filter(({ promptId }) => promptIds.includes(promptId))
      .sort((one, other) => one.from - other.from);
    return [
      ...promptIds
        .filter((promptId) => isRepeated(renderings.filter((rendering) => rendering.promptId === promptId)))
        .map((promptId): Violation => `I4 the prompt ${promptId} of ${id} was rendered more than once`),
      ...own
        .filter((life, index) => own.slice(0, index).some((other) => isRival(other, life)))
        .slice(abandoned) // each has one rival, from which it was taken over
        .map((life): Violation => `I4 ${id} had another live prompt when ${life.promptId} was queued`),
    ];
  });
}

function isRepeated(renderings: readonly Rendering[]): boolean {
  return new Set(renderings.map(({ backend }) => backend)).size > 1 || hasTwice(renderings.map(({ life }) => life));
}

function hasTwice(lives: readonly number[]): boolean {
  return new Set(lives).size < lives.length;
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

/** Without those that vanished before they had begun: ComfyUI may find such a prompt again and render it, once. */
function renderingsIn(journal: readonly JournalEntry[], backend: number): readonly Rendering[] {
  let life = 0;
  return journal.flatMap(({ event, promptId }, index) => {
    if (event === 'started') life += 1;
    if (event !== 'rendering_started') return [];
    const end = journal
      .slice(index)
      .find((later) => later.event === 'rendering_finished' && later.promptId === promptId);
    return end?.['outcome'] === 'vanished' ? [] : [{ promptId, backend, life }];
  });
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
