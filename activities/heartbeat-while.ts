import { heartbeat } from '@temporalio/activity';

/** A cancel comes with the answer to a heartbeat, so this is how late it is noticed; the SDK sends one a second at most. */
const BEAT_MS = 1_000;

/**
 * Heartbeats while `work` runs, with what `details` then says: without it a cancel would not be noticed, nor a worker
 * that died, and a backend that is silent for long would look like either. The first comes after a second: work that is
 * over by then costs the server no write, and the details of the attempt before stand until this one has its own.
 */
export async function heartbeatWhile<T>(work: () => Promise<T>, details?: () => unknown): Promise<T> {
  const beat = (): void => {
    heartbeat(details?.());
  };
  const timer = setInterval(beat, BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
