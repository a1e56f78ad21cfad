import { isDeepStrictEqual } from 'node:util';
import { heartbeat } from '@temporalio/activity';

/** A cancel comes with the answer to a heartbeat, so this is how late it is noticed; the SDK sends one a second at most. */
const BEAT_MS = 1_000;
/** A third of the heartbeat timeout: two may be lost. */
const QUIET_BEAT_MS = 5_000;

/**
 * Heartbeats while `work` runs, with what `details` then says: without it a cancel would not be noticed, nor a worker
 * that died, and a backend that is silent for long would look like either. The first comes after a second: work that is
 * over by then costs the server no write, and the details of the attempt before stand until this one has its own.
 */
export async function heartbeatWhile<T>(work: () => Promise<T>, details?: () => unknown): Promise<T> {
  return everySecond(work, () => {
    heartbeat(details?.());
  });
}

/**
 * The same for work that watches for minutes: what is new is sent within a second, and otherwise one heartbeat in five,
 * because each is a write on the server. A cancel that must come sooner has to be news.
 */
export async function heartbeatOnNews<T>(work: () => Promise<T>, details: () => unknown): Promise<T> {
  let sent: { readonly details: unknown; readonly atMs: number } | null = null;
  return everySecond(work, () => {
    const now = { details: details(), atMs: performance.now() };
    // Half a second early: a timer that came late must not put it off by another one.
    const isQuiet = sent !== null && now.atMs - sent.atMs < QUIET_BEAT_MS - BEAT_MS / 2;
    if (isQuiet && isDeepStrictEqual(now.details, sent?.details)) return;
    sent = now;
    heartbeat(now.details);
  });
}

async function everySecond<T>(work: () => Promise<T>, beat: () => void): Promise<T> {
  const timer = setInterval(beat, BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
