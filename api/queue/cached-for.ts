export interface Cached<Value> {
  /** Those who ask at the same time share one reading. */
  read(): Promise<Value>;
  /** The next one who asks reads anew. */
  forget(): void;
}

/** A reading that takes long, as of the reports of a thousand backends, is not made all the time. */
const TIMES_LONGER = 10;
const LONGEST_MS = 5_000;

/** Remembers what was read for so long, or ten times as long as it took; a failed reading is not remembered. */
export function cachedFor<Value>(ms: number, readNow: () => Promise<Value>): Cached<Value> {
  let last: { readonly at: number; readonly reading: Promise<Value> } | null = null;
  let holdMs = ms;
  return {
    async read() {
      if (last !== null && performance.now() - last.at < holdMs) return last.reading;
      const current = { at: performance.now(), reading: readNow() };
      last = current;
      current.reading.then(
        () => {
          const tookMs = performance.now() - current.at;
          holdMs = Math.max(ms, Math.min(LONGEST_MS, tookMs * TIMES_LONGER));
        },
        () => {
          if (last === current) last = null;
        },
      );
      return current.reading;
    },
    forget() {
      last = null;
    },
  };
}
