export interface Cached<Value> {
  /** Those who ask at the same time share one reading. */
  read(): Promise<Value>;
  /** The next one who asks reads anew. */
  forget(): void;
}

/** Remembers what was read for so long; a failed reading is not remembered. */
export function cachedFor<Value>(ms: number, readNow: () => Promise<Value>): Cached<Value> {
  let last: { readonly at: number; readonly reading: Promise<Value> } | null = null;
  return {
    async read() {
      if (last !== null && performance.now() - last.at < ms) return last.reading;
      const current = { at: performance.now(), reading: readNow() };
      last = current;
      current.reading.catch(() => {
        if (last === current) last = null;
      });
      return current.reading;
    },
    forget() {
      last = null;
    },
  };
}
