import type { QueueBoard, QueueFacts } from './queue-board.js';

/** One look at the queue a second, however many watch how many generations. */
const INTERVAL_MS = 1_000;

/** The place of a generation for those who watch it; `null` once it waits no more. */
export type WatchQueue = (generationId: string) => Promise<QueueFacts | null>;

export function createWatchQueue(board: QueueBoard): WatchQueue {
  let lastAt = Number.NEGATIVE_INFINITY;
  let next: { readonly ids: Set<string>; readonly places: ReturnType<QueueBoard['placesOf']> } | null = null;
  return async function watchQueue(generationId) {
    if (next === null) {
      const ids = new Set<string>();
      const places = pause(lastAt + INTERVAL_MS - performance.now()).then(async () => {
        lastAt = performance.now();
        next = null; // who comes now waits for the look after this one
        return board.placesOf([...ids]);
      });
      next = { ids, places };
    }
    next.ids.add(generationId);
    return (await next.places).get(generationId) ?? null;
  };
}

async function pause(ms: number): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
