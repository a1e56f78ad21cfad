/** Generations of one account that wait in one queue with the same priority. */
export interface WaitingGroup {
  readonly taskQueue: string;
  readonly models: readonly string[];
  readonly accountId: string;
  readonly priority: number;
  readonly waiting: number;
  readonly oldestAcceptedAtMs: number;
}

/** What waits in one queue; what the fields mean stands in the contract of the document. */
export interface WaitingQueue {
  readonly taskQueue: string;
  readonly models: readonly string[];
  readonly waiting: number;
  readonly topPriority: number;
  readonly oldestAcceptedAtMs: number;
  readonly leastServed: number;
}

/** Groups put together by queue; `servedOf` says how many generations of an account are on GPUs now. */
export function demandOfQueues(
  groups: readonly WaitingGroup[],
  servedOf: (accountId: string) => number,
): readonly WaitingQueue[] {
  const byQueue = new Map<string, WaitingGroup[]>();
  for (const group of groups) byQueue.set(group.taskQueue, [...(byQueue.get(group.taskQueue) ?? []), group]);
  return [...byQueue].sort(byName).map(([taskQueue, all]) => {
    const topPriority = Math.min(...all.map(({ priority }) => priority));
    const top = all.filter(({ priority }) => priority === topPriority);
    return {
      taskQueue,
      models: all[0]?.models ?? [],
      waiting: all.reduce((sum, { waiting }) => sum + waiting, 0),
      topPriority,
      oldestAcceptedAtMs: Math.min(...top.map(({ oldestAcceptedAtMs }) => oldestAcceptedAtMs)),
      leastServed: Math.min(...top.map(({ accountId }) => servedOf(accountId))),
    };
  });
}

function byName([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : 1;
}
