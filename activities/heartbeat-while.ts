import { heartbeat } from '@temporalio/activity';

/** Well under the heartbeat timeout of 15 s, so that one lost beat costs nothing. */
const BEAT_MS = 3_000;

/** Heartbeats while `work` runs: without it a cancel would not be noticed, nor a worker that died. */
export async function heartbeatWhile<T>(work: () => Promise<T>): Promise<T> {
  heartbeat();
  const timer = setInterval(() => {
    heartbeat();
  }, BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
