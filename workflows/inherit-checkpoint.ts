import { isCancellation, log } from '@temporalio/workflow';
import { adaptingOptions, inheritingOptions } from './activity-options.js';
import { checked } from './checked.js';
import type { AdaptedGraph } from './contracts/activities.js';
import type { LastPrompt, Resumption } from './contracts/checkpoint.js';
import { UNADAPTED } from './domain/adaptation.js';
import { mayFinishUnseen } from './domain/failure.js';
import type { FailureKind } from './domain/failure.js';
import type { GenerationRun } from './generation-run.js';

/**
 * Begins where the generation that this one repeats has ended: after the parts of its batch that are stored, and with its
 * last prompt, if that has finished since. What cannot be had is rendered again.
 */
export async function inheritCheckpoint(run: GenerationRun): Promise<void> {
  const { resumesFrom: from, generationId } = run.input;
  if (from === undefined) return;
  try {
    const inherited = await checked(inheritingOptions(from).inheritCheckpoint({ generationId, from }));
    if (inherited === null) return;
    const { stored, prompt } = inherited;
    const next = await partAfter(run, inherited);
    run.noteInherited(next === null ? { stored: [], next, prompt } : { stored, next, prompt });
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('What an earlier generation has left could not be taken over; all is rendered again', { from, error });
  }
}

/** What was changed for the earlier one is not changed for this one: its pictures are those that were asked for. */
async function partAfter(run: GenerationRun, { stored, left }: Resumption): Promise<AdaptedGraph | null> {
  const [first] = left;
  if (stored.length === 0 || first === undefined) return null;
  const { graph, expected } = run.input;
  const adaptation = { ...UNADAPTED, parts: [{ first: 0, count: first.first }, ...left] };
  const change = 'next_part';
  return checked(adaptingOptions(change).adaptGraph({ graph, expected, adaptation, change, substitutes: [] }));
}

/** What this run leaves to one that repeats it, after a failure of that kind; `null`: nothing. */
export function resumptionOf(run: GenerationRun, kind: FailureKind): Resumption | null {
  if (run.isOnFal) return null;
  const { graph, adaptation } = run.rendered;
  const stored = run.isStoredAsAsked ? run.stored : [];
  const prompt = mayFinishUnseen(kind) ? lastPromptOf(run) : null;
  if (stored.length === 0 && prompt === null) return null;
  return { stored, left: stored.length === 0 ? [] : adaptation.parts, graph, prompt };
}

function lastPromptOf({ progress, rendered }: GenerationRun): LastPrompt | null {
  const { backendId, promptId } = progress;
  return backendId === null || promptId === null ? null : { backendId, promptId, graphSha256: rendered.graph.sha256 };
}
