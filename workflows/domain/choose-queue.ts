/** What waits in one gated Task Queue. */
export interface QueueChoice {
  readonly taskQueue: string;
  /** Heavy models of everything in it. */
  readonly models: readonly string[];
  /** Generations that Temporal knows and that have not begun to render. */
  readonly waiting: number;
  /** 1 before 5. */
  readonly topPriority: number;
  /** Of those with the best priority: when the first was accepted, milliseconds since the epoch. */
  readonly oldestAcceptedAtMs: number;
  /** Of the accounts that wait with the best priority: the fewest generations that any has on GPUs now. */
  readonly leastServed: number;
  /** A live backend of the pool has all the models, as far as is known. */
  readonly isOffered: boolean;
  /** Backends whose claims come from here. */
  readonly polledBy: readonly string[];
}

/** The backend that chooses. */
export interface Chooser {
  readonly backendId: string;
  /** Model files that its ComfyUI offers, `null` while that is not known. */
  readonly offers: ReadonlySet<string> | null;
  /** Models of the last generation that was submitted to it. */
  readonly loadedModels: readonly string[];
  /** How much longer others may wait while it stays with the models that it has in memory. */
  readonly affinityMs: number;
}

/**
 * The queue that a backend with a free place should poll, `null` when nothing waits that it can serve. In this order:
 * 1. never a queue whose models it lacks while somebody has them (nobody has them: anyone may say so, which recovers);
 * 2. the best priority; 3. the accounts that have the fewest GPUs now; 4. the models that it has in memory, then queues
 * that nobody polls, then its own preference, by which idle backends spread; but 5. no queue waits more than `affinityMs`
 * longer than the one that is preferred.
 */
export function chooseQueue(queues: readonly QueueChoice[], chooser: Chooser): string | null {
  const servable = queues.filter((queue) => queue.waiting > 0 && canServe(queue, chooser));
  const urgent = leastBy(servable, ({ topPriority }) => topPriority);
  const due = leastBy(urgent, ({ leastServed }) => leastServed);
  const [preferred] = [...due].sort((left, right) => preference(left, right, chooser));
  const [oldest] = [...due].sort(byAge);
  if (preferred === undefined || oldest === undefined) return null;
  const isOverdue = preferred.oldestAcceptedAtMs - oldest.oldestAcceptedAtMs > chooser.affinityMs;
  return (isOverdue ? oldest : preferred).taskQueue;
}

/** What is not known may be there. */
export function canServe(
  { models, isOffered }: Pick<QueueChoice, 'models' | 'isOffered'>,
  { offers }: Pick<Chooser, 'offers'>,
): boolean {
  return !isOffered || offers === null || models.every((model) => offers.has(model));
}

function leastBy(queues: readonly QueueChoice[], valueOf: (queue: QueueChoice) => number): readonly QueueChoice[] {
  const least = Math.min(...queues.map(valueOf));
  return queues.filter((queue) => valueOf(queue) === least);
}

function preference(left: QueueChoice, right: QueueChoice, { backendId, loadedModels }: Chooser): number {
  const isLoaded = ({ models }: QueueChoice): boolean => isSameSet(models, loadedModels);
  const isPolled = ({ polledBy }: QueueChoice): boolean => polledBy.some((other) => other !== backendId);
  return (
    Number(isLoaded(right)) - Number(isLoaded(left)) ||
    Number(isPolled(left)) - Number(isPolled(right)) ||
    rank(backendId, left) - rank(backendId, right) ||
    byAge(left, right)
  );
}

function byAge(left: QueueChoice, right: QueueChoice): number {
  if (left.oldestAcceptedAtMs !== right.oldestAcceptedAtMs) return left.oldestAcceptedAtMs - right.oldestAcceptedAtMs;
  return left.taskQueue < right.taskQueue ? -1 : 1;
}

/** Both are sorted and distinct. */
function isSameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length > 0 && left.length === right.length && left.every((model, index) => model === right[index]);
}

/** Another order of the queues for each backend (rendezvous hashing). */
function rank(backendId: string, { taskQueue }: QueueChoice): number {
  let hash = 0x811c9dc5;
  for (const character of `${backendId}\n${taskQueue}`) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return hash >>> 0;
}
