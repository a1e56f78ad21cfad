import { heartbeat } from '@temporalio/activity';

/** A cancel comes with the answer to a heartbeat, so this is how late it is noticed; the SDK sends one a second at most. */
const BEAT_MS = 1_000;

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
