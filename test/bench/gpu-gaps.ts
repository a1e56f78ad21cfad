import type { JournalEntry } from '../../infra/simulators/comfyui/journal.js';

/** Milliseconds from the end of each rendering to the beginning of the next, by the simulator's own clock. */
export function gapsIn(journal: readonly JournalEntry[]): readonly number[] {
  const gaps: number[] = [];
  let finishedAt: number | null = null;
  for (const { at, event } of journal) {
    if (event === 'rendering_finished') finishedAt = Date.parse(at);
    if (event !== 'rendering_started' || finishedAt === null) continue;
    gaps.push(Date.parse(at) - finishedAt);
    finishedAt = null;
  }
  return gaps;
}
