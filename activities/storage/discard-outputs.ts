import type { ObjectStore } from './object-store.js';

/** Removes what was stored for a generation and is not kept; to be called once its claim is closed. */
export async function discardOutputs(
  store: ObjectStore,
  ...[generationId, kept = []]: [string, (readonly string[])?]
): Promise<void> {
  const keys = await store.keysUnder(`jobs/${generationId}/`);
  for (const key of keys.filter((each) => !kept.includes(each))) await store.remove(key);
}
