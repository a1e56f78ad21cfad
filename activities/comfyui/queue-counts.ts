import { z } from 'zod';
import type { ComfyUIClient } from './comfyui-client.js';
import { NotComfyUIError } from './errors.js';

/** Prompts in a ComfyUI's own queue. */
export interface QueueCounts {
  readonly running: number;
  readonly pending: number;
}

const queueSchema = z.object({ queue_running: z.array(z.unknown()), queue_pending: z.array(z.unknown()) });
const LOOK_MS = 5_000;

/** What runs and what waits, whoever posted it. */
export async function queueCounts({ http }: ComfyUIClient, signal: AbortSignal): Promise<QueueCounts> {
  const queue = queueSchema.safeParse(await http.json({ path: '/api/queue', signal, totalMs: LOOK_MS })).data;
  if (queue === undefined) throw new NotComfyUIError('The answer to /api/queue is not what ComfyUI says');
  return { running: queue.queue_running.length, pending: queue.queue_pending.length };
}
