export interface Cached<Value> {
  /** Those who ask at the same time share one reading. */
  read(): Promise<Value>;
  /** The next one who asks reads anew. */
  forget(): void;
}

/** A reading that takes long, as of the reports of a thousand backends, is not made all the time. */
const TIMES_LONGER = 10;
const LONGEST_MS = 5_000;

/** Longer than those who ask all the time are apart. */
const OVERDUE = 1.1;

/**
 * Remembers what was read for so long, or ten times as long as it took; a failed reading is not remembered. For a tenth
 * longer whoever asks is answered with it while it is read anew: of those who ask all the time nobody waits.
 */
export function cachedFor<Value>(ms: number, readNow: () => Promise<Value>): Cached<Value> {
  let known: { readonly value: Value; readonly readAtMs: number } | null = null;
  let underWay: Promise<Value> | null = null;
  let holdMs = ms;
  const begin = (): Promise<Value> => {
    const readAtMs = performance.now();
    const reading = readNow();
    underWay = reading;
    reading.then(
      (value) => {
        holdMs = Math.max(ms, Math.min(LONGEST_MS, (performance.now() - readAtMs) * TIMES_LONGER));
        if (underWay !== reading) return; // forgotten meanwhile
        known = { value, readAtMs };
        underWay = null;
      },
      () => {
        if (underWay === reading) underWay = null; // those who wait are told
      },
    );
    return reading;
  };
  return {
    async read() {
      const ageMs = known === null ? Infinity : performance.now() - known.readAtMs;
      if (known !== null && ageMs < holdMs) return known.value;
      const reading = underWay ?? begin();
      return known !== null && ageMs < OVERDUE * holdMs ? known.value : reading;
    },
    forget() {
      known = null;
      underWay = null;
    },
  };
}
