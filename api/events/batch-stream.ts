import type { Response } from 'express';
import type { BatchReader } from '../batches/read-batches.js';
import { Bell } from '../../infra/runtime/bell.js';
import type { EventHub } from './event-hub.js';
import type { OpenStreams } from './open-streams.js';
import { createSseWriter } from './sse-writer.js';
import type { SseWriter } from './sse-writer.js';

/** Counting ten thousand generations is not done for each of their events. */
const INTERVAL_MS = 1_000;
/** A lost notification costs at most this long. */
const SAFETY_LOOK_MS = 5_000;

export interface BatchStreamDeps {
  readonly batches: BatchReader;
  readonly hub: EventHub;
  readonly streams: OpenStreams;
}

/** Sends the batch whenever it has changed, until all of it has ended or the caller goes away; `false`: unknown id. */
export type StreamBatch = (batchId: string, res: Response) => Promise<boolean>;

export function createStreamBatch(deps: BatchStreamDeps): StreamBatch {
  return async (batchId, res) => deps.streams.run(res, async (signal) => stream(deps, { batchId, res, signal }));
}

async function stream(
  { batches, hub }: BatchStreamDeps,
  { batchId, res, signal }: { readonly batchId: string; readonly res: Response; readonly signal: AbortSignal },
): Promise<boolean> {
  const bell = new Bell();
  const unsubscribe = hub.subscribe(batchId, () => {
    bell.ring();
  });
  let writer: SseWriter | null = null;
  try {
    while (!signal.aborted) {
      const view = await batches.read(batchId);
      if (view === null) return writer !== null;
      writer ??= createSseWriter(res);
      await writer.update('progress', view);
      if (view.finishedAt !== null) break;
      await bell.wait(SAFETY_LOOK_MS, signal);
      await new Bell().wait(INTERVAL_MS, signal); // what comes meanwhile is seen with it
    }
    return true;
  } finally {
    unsubscribe();
    writer?.end();
  }
}
