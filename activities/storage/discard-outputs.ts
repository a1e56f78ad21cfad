import type { ObjectStore } from './object-store.js';

/** Removes what was stored for a generation that then ended without a result; to be called once its claim is closed. */
export async function discardOutputs(store: ObjectStore, generationId: string): Promise<void> {
  for (const key of await store.keysUnder(`jobs/${generationId}/`)) await store.remove(key);
}
