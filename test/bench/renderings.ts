import type { JournalEntry } from '../../infra/simulators/comfyui/journal.js';

/** One rendering, by the simulator's own clock. */
export interface Rendering {
  readonly promptId: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Renderings that have ended, in their order. */
export function renderingsIn(journal: readonly JournalEntry[]): readonly Rendering[] {
  const startedAt = new Map<string, number>();
  return journal.flatMap(({ at, event, promptId }) => {
    if (promptId === undefined) return [];
    if (event === 'rendering_started') startedAt.set(promptId, Date.parse(at));
    const fromMs = startedAt.get(promptId);
    return event === 'rendering_finished' && fromMs !== undefined
      ? [{ promptId, fromMs, untilMs: Date.parse(at) }]
      : [];
  });
}

/** The share of the time from the first start to the last end in which something rendered; `NaN` of nothing. */
export function busyShareOf(renderings: readonly Rendering[]): number {
  const first = renderings[0];
  const last = renderings.at(-1);
  if (first === undefined || last === undefined) return Number.NaN;
  const busyMs = renderings.reduce((sum, { fromMs, untilMs }) => sum + untilMs - fromMs, 0);
  return busyMs / (last.untilMs - first.fromMs);
}

/** How often the next is another one than the last; the first is no change. */
export function changesIn(models: readonly string[]): number {
  return models.filter((model, index) => index > 0 && model !== models[index - 1]).length;
}
