import { modelKeyOf } from '../domain/heavy-models.js';

/** Workflow Tasks and everything that touches the database; polled by control workers. */
export const GENERATION_TASK_QUEUE = 'generation';

/**
 * The queue that GPU workers pull claims from, gated by their slot supplier: one for each pool and set of heavy models, so
 * that a backend can choose what it has in memory. `gpu` and `gpu.<pool>` without models, else `gpu.<pool>.<models>`.
 */
export function gpuTaskQueue(pool: string, models: readonly string[] = []): string {
  const key = modelKeyOf(models);
  if (key !== null) return `gpu.${pool}.${key}`;
  return pool === 'default' ? 'gpu' : `gpu.${pool}`;
}

/** The pool of a gated queue: names of pools have no dot. */
export function poolOfTaskQueue(taskQueue: string): string {
  return taskQueue.split('.')[1] ?? 'default';
}

/** A backend's own queue: after the claim everything of a generation runs beside the ComfyUI that renders it. */
export function backendTaskQueue(backendId: string): string {
  return `gpu@${backendId}`;
}
