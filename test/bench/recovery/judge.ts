import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import type { JournalEntry } from '../../../infra/simulators/comfyui/journal.js';

/** A generation as the API shows it at its end; only what is judged. */
export interface EndedGeneration {
  readonly id: string;
  readonly status: string;
  readonly asked: Readonly<Record<string, unknown>>;
  readonly delivered: Readonly<Record<string, unknown>> | null;
  readonly attempts: readonly { readonly kind: string; readonly strategy: string }[];
  readonly abandonedRenderings: number;
  readonly error: { readonly kind: string; readonly detail: string } | null;
  readonly finishedAt: string | null;
}

/** A result as it came over HTTP and out of a decoder. */
export interface FetchedPicture {
  readonly isWhole: boolean;
  /** Of the pixels: the file also carries the graph. */
  readonly pixelSha256: string;
  readonly widthPx: number;
  readonly heightPx: number;
}

/** What is right for a case: a result, or a failure of this kind. */
export interface Expectation {
  readonly failure: string | null;
  /** What may be other than asked. */
  readonly mayChange: readonly string[];
  /** The second rendering must take what was done from ComfyUI's cache. */
  readonly resumesFromCache: boolean;
}

export interface CaseEvidence {
  /** As it was when the deadline of the bench was over, if it had not ended. */
  readonly generation: EndedGeneration;
  readonly pictures: readonly FetchedPicture[];
  /** One for each ComfyUI. */
  readonly journals: readonly (readonly JournalEntry[])[];
  /** Pictures of this generation in the output folders of all ComfyUIs. */
  readonly savedPictures: number;
  /** Of those, how many the fault has destroyed. */
  readonly ruinedPictures: number;
}

export interface Verdict {
  readonly outcome: 'recovered' | 'namedFailure' | 'wrong';
  /** Why it is wrong. */
  readonly reason: string | null;
  /** Renderings while an earlier submission was alive or had finished; what the caller is told as abandoned counts apart. */
  readonly extraRenderings: number;
}

const ENDS = ['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'];
/** More than any ladder has rungs. */
const MAX_SUBMISSIONS = 40;

export function judge(expected: Expectation, evidence: CaseEvidence): Verdict {
  const reason = complaintAbout(expected, evidence);
  const extraRenderings = extraRenderingsIn(evidence);
  if (reason !== null) return { outcome: 'wrong', reason, extraRenderings };
  return { outcome: expected.failure === null ? 'recovered' : 'namedFailure', reason, extraRenderings };
}

function complaintAbout(expected: Expectation, evidence: CaseEvidence): string | null {
  const { generation } = evidence;
  const { status, error } = generation;
  if (!ENDS.includes(status)) return `it is still ${status}`;
  if (expected.failure !== null) {
    if (status === 'COMPLETED') return `delivered what could not be rendered, instead of ${expected.failure}`;
    return error?.kind === expected.failure ? null : `${error?.kind ?? status} instead of ${expected.failure}`;
  }
  if (status !== 'COMPLETED') return `${status}: ${error?.kind ?? ''} ${error?.detail ?? ''}`;
  return complaintAboutResult(expected, evidence);
}

function complaintAboutResult(expected: Expectation, evidence: CaseEvidence): string | null {
  const { asked, delivered } = evidence.generation;
  const { pictures } = evidence;
  if (delivered === null) return 'it does not say what was delivered';
  const changed = Object.keys(asked).filter((name) => asked[name] !== delivered[name]);
  const forbidden = changed.filter((name) => !expected.mayChange.includes(name));
  if (forbidden.length > 0) return `${forbidden.join(', ')} changed without leave`;
  if (pictures.length !== asked['batch_size'])
    return `${pictures.length} pictures instead of ${String(asked['batch_size'])}`;
  const isAsTold = ({ isWhole, widthPx, heightPx }: FetchedPicture) =>
    isWhole && widthPx === delivered['width'] && heightPx === delivered['height'];
  if (!pictures.every(isAsTold)) return 'a picture is damaged, or of another size than it says';
  if (new Set(pictures.map(({ pixelSha256 }) => pixelSha256)).size < pictures.length) return 'a picture came twice';
  if (expected.resumesFromCache && !hasResumed(evidence)) return 'it was rendered from the start';
  return null;
}

function hasResumed({ generation, journals }: CaseEvidence): boolean {
  const second = promptIdOf(generation.id, 2);
  return journals.flat().some(({ event, promptId }) => event === 'node_cached' && promptId === second);
}

interface Rendering {
  readonly fromMs: number;
  untilMs: number;
}

function extraRenderingsIn(evidence: CaseEvidence): number {
  const { generation, pictures, journals, savedPictures, ruinedPictures } = evidence;
  const own = Array.from({ length: MAX_SUBMISSIONS }, (_, index) => promptIdOf(generation.id, index + 1));
  const renderings = journals.flatMap((journal) => renderingsIn(journal, own)).sort((a, b) => a.fromMs - b.fromMs);
  const rivals = renderings.filter(({ fromMs }, index) =>
    renderings.slice(0, index).some(({ untilMs }) => untilMs > fromMs),
  );
  return (
    Math.max(0, rivals.length - generation.abandonedRenderings) +
    Math.max(0, savedPictures - ruinedPictures - pictures.length)
  );
}

/** From the start of each rendering to its end, or to the last word of the ComfyUI that died with it. */
function renderingsIn(journal: readonly JournalEntry[], promptIds: readonly string[]): readonly Rendering[] {
  const all: Rendering[] = [];
  let running: Rendering | null = null;
  let lastMs = 0;
  for (const { event, promptId, at } of journal) {
    const now = Date.parse(at);
    if (event === 'started' && running !== null) {
      running.untilMs = lastMs;
      running = null;
    }
    if (event === 'rendering_started' && promptIds.includes(promptId ?? '')) {
      running = { fromMs: now, untilMs: Number.POSITIVE_INFINITY };
      all.push(running);
    }
    if (event === 'rendering_finished' && promptIds.includes(promptId ?? '') && running !== null) {
      running.untilMs = now;
      running = null;
    }
    lastMs = now;
  }
  return all;
}
