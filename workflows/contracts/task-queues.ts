/** Workflow Tasks and everything that touches the database; polled by control workers. */
export const GENERATION_TASK_QUEUE = 'generation';

/** The queue that the GPU workers of one pool pull claims from, gated by their slot supplier. */
export function gpuTaskQueue(pool: string): string {
  return pool === 'default' ? 'gpu' : `gpu.${pool}`;
}

/** A backend's own queue: after the claim everything of a generation runs beside the ComfyUI that renders it. */
export function backendTaskQueue(backendId: string): string {
  return `gpu@${backendId}`;
}
