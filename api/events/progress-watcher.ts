import type { ProgressView } from '../schemas/generation-view.js';

/** One describe a second for each generation, however many watch it. */
const INTERVAL_MS = 1_000;
/** Answers that are kept for the next second; beyond it the oldest go. */
const MAX_REMEMBERED = 1_000;

export interface LiveProgress {
  readonly progress: ProgressView | null;
  readonly runId: string | null;
}

/** Asks Temporal what a generation is doing; resolves with nothing known when Temporal does not say. */
export type ReadLiveProgress = (generationId: string) => Promise<LiveProgress>;

/** Live progress, which rides on activity heartbeats: read only for generations that somebody watches. */
export interface ProgressWatcher {
  /** Not older than a second. */
  read(generationId: string): Promise<LiveProgress>;
  /** What was read last, without asking; `null` when nothing was or it is old. */
  latest(generationId: string): LiveProgress | null;
}

interface Reading {
  readonly at: number;
  readonly answer: Promise<LiveProgress>;
  result: LiveProgress | null;
}

export function createProgressWatcher(readLive: ReadLiveProgress): ProgressWatcher {
  const readings = new Map<string, Reading>();
  return {
    async read(generationId) {
      const known = readings.get(generationId);
      if (known !== undefined && Date.now() - known.at < INTERVAL_MS) return known.answer;
      const reading: Reading = { at: Date.now(), answer: readLive(generationId), result: null };
      readings.delete(generationId);
      readings.set(generationId, reading);
      forgetOldest(readings);
      reading.result = await reading.answer;
      return reading.result;
    },
    latest(generationId) {
      const known = readings.get(generationId);
      return known !== undefined && Date.now() - known.at < 2 * INTERVAL_MS ? known.result : null;
    },
  };
}

function forgetOldest(readings: Map<string, Reading>): void {
  if (readings.size <= MAX_REMEMBERED) return;
  const [oldest] = readings.keys();
  if (oldest !== undefined) readings.delete(oldest);
}
