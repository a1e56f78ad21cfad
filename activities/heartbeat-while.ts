import { isDeepStrictEqual } from 'node:util';
import { activityInfo, heartbeat } from '@temporalio/activity';
import { DEFAULT_TIMINGS, beatPausesOf } from '../workflows/domain/worker-timings.js';

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
  return everySecond(work, beat);
}

/**
 * The same for work that watches for minutes. It sends a heartbeat every two seconds while there is news and every four
 * otherwise, because each is a write on the server. A heartbeat timeout below 15 s shortens the four seconds, one below 7.5 s
 * also the two. A cancel that must not wait for that has to be news.
 */
export async function heartbeatOnNews<T>(work: () => Promise<T>, details: () => unknown): Promise<T> {
  const { heartbeatTimeoutMs = DEFAULT_TIMINGS.heartbeatTimeoutSeconds * 1_000 } = activityInfo();
  const { newsMs, quietMs } = beatPausesOf(heartbeatTimeoutMs);
  let sent: { readonly details: unknown; readonly atMs: number } | null = null;
  const beat = (): void => {
    const now = { details: details(), atMs: performance.now() };
    if (sent !== null) {
      const isNews = !isDeepStrictEqual(now.details, sent.details);
      // Half a beat early: a timer that came late must not put it off by another one.
      if (now.atMs - sent.atMs < (isNews ? newsMs : quietMs) - BEAT_MS / 2) return;
    }
    sent = now;
    heartbeat(now.details);
  };
  return everySecond(work, beat);
}

async function everySecond<T>(work: () => Promise<T>, beat: () => void): Promise<T> {
  const timer = setInterval(beat, BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
