import { z } from 'zod';
import type { ComfyUIClient } from './comfyui-client.js';
import { NotComfyUIError } from './errors.js';

/** Prompts in a ComfyUI's own queue. */
export interface QueueCounts {
  readonly running: number;
  readonly pending: number;
}

/** An item is `[number, prompt id, …]`. */
const queueSchema = z.object({ queue_running: z.array(z.unknown()), queue_pending: z.array(z.unknown()) });
const LOOK_MS = 5_000;

/** What runs and what waits, whoever posted it. */
export async function queueCounts(client: ComfyUIClient, signal: AbortSignal): Promise<QueueCounts> {
  const queue = await readQueue(client, signal);
  return { running: queue.queue_running.length, pending: queue.queue_pending.length };
}

/** True when what runs there now is another prompt than this one, of whomever. */
export async function runsAnother(
  client: ComfyUIClient,
  ...[promptId, signal]: [string, AbortSignal]
): Promise<boolean> {
  const { queue_running: running } = await readQueue(client, signal);
  return running.length > 0 && !running.some((item) => Array.isArray(item) && item[1] === promptId);
}

async function readQueue({ http }: ComfyUIClient, signal: AbortSignal): Promise<z.infer<typeof queueSchema>> {
  const queue = queueSchema.safeParse(await http.json({ path: '/api/queue', signal, totalMs: LOOK_MS })).data;
  if (queue === undefined) throw new NotComfyUIError('The answer to /api/queue is not what ComfyUI says');
  return queue;
}
