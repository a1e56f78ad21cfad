/** Generations that wait in one pool and are alike. */
export interface WaitingGroup {
  readonly priority: number;
  /** Whose turn it is: an account, or all its batches. */
  readonly flow: string;
  readonly template: string;
  readonly count: number;
}

/** Where one of them stands. */
export interface QueuePlace {
  readonly priority: number;
  readonly flow: string;
  readonly template: string;
  /** Of its flow and priority, accepted before it. */
  readonly aheadInFlow: number;
}

/** How fast the pool renders. */
export interface Pace {
  /** Prompts at once; a backend that is twice as fast as others counts twice. */
  readonly slots: number;
  readonly isBusy: boolean;
  /** How long one rendering of a template takes; what was never rendered is not in it. */
  readonly secondsByTemplate: ReadonlyMap<string, number>;
}

export interface WaitEstimate {
  readonly startsInSeconds: number;
  readonly endsInSeconds: number;
}

/**
 * When a waiting generation will start and end; `null` while nothing is known of renderings, or nothing renders. Flows of
 * one priority take turns, so that of each other flow about as many come before it as of its own.
 */
export function estimateWait(
  place: QueuePlace,
  ...[waiting, pace]: [readonly WaitingGroup[], Pace]
): WaitEstimate | null {
  const typical = typicalSeconds(place.template, pace.secondsByTemplate);
  if (typical === null || pace.slots <= 0) return null;
  const ahead = [...flowsAhead(place, waiting)].map(({ count, groups }) => count * meanSeconds(groups, pace, typical));
  const work = ahead.reduce((sum, seconds) => sum + seconds, 0) / pace.slots;
  // The first of so many renderings, each somewhere in its course, ends after this share of one.
  const startsIn = pace.isBusy ? work + typical / (pace.slots + 1) : work;
  return { startsInSeconds: Math.ceil(startsIn), endsInSeconds: Math.ceil(startsIn + typical) };
}

interface FlowAhead {
  /** Of this flow, how many come before the place. */
  readonly count: number;
  readonly groups: readonly WaitingGroup[];
}

function flowsAhead(place: QueuePlace, waiting: readonly WaitingGroup[]): readonly FlowAhead[] {
  const better = waiting.filter(({ priority }) => priority < place.priority);
  const same = waiting.filter(({ priority }) => priority === place.priority);
  const flows = new Set(same.map(({ flow }) => flow).filter((flow) => flow !== place.flow));
  const turns = [...flows].map((flow): FlowAhead => {
    const groups = same.filter((group) => group.flow === flow);
    return { groups, count: Math.min(countOf(groups), place.aheadInFlow + 1) };
  });
  const own = same.filter(({ flow }) => flow === place.flow);
  return [{ groups: better, count: countOf(better) }, { groups: own, count: place.aheadInFlow }, ...turns];
}

function countOf(groups: readonly WaitingGroup[]): number {
  return groups.reduce((sum, { count }) => sum + count, 0);
}

function meanSeconds(groups: readonly WaitingGroup[], ...[pace, fallback]: [Pace, number]): number {
  const count = countOf(groups);
  if (count === 0) return fallback;
  const seconds = groups.map((group) => group.count * (pace.secondsByTemplate.get(group.template) ?? fallback));
  return seconds.reduce((sum, each) => sum + each, 0) / count;
}

/** Of a template that was never rendered: as the others take on average. */
function typicalSeconds(template: string, known: Pace['secondsByTemplate']): number | null {
  const own = known.get(template);
  if (own !== undefined) return own;
  const all = [...known.values()];
  return all.length === 0 ? null : all.reduce((sum, each) => sum + each, 0) / all.length;
}
