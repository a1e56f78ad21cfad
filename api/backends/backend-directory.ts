import { z } from 'zod';
import { readBackendReports } from '../../activities/storage/backend-reports.js';
import type { KnownBackend } from '../../activities/storage/backend-reports.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';

export type { KnownBackend } from '../../activities/storage/backend-reports.js';

const CACHE_MS = 5_000;
const MAX_CAPABILITIES = 100;

/** What GPU workers have published about their ComfyUI; read from the object store at most every 5 s. */
export interface BackendDirectory {
  backends(): Promise<readonly KnownBackend[]>;
  /** Node classes that any live backend of the pool offers; `null` when none has said. */
  nodeClasses(pool: string): Promise<ReadonlySet<string> | null>;
}

const capabilitiesSchema = z.object({ nodeClasses: z.array(z.string()) });

export function createBackendDirectory({ store }: { readonly store: ObjectStore }): BackendDirectory {
  const classesOf = createClassReader(store);
  let cached: { readonly at: number; readonly reading: Promise<readonly KnownBackend[]> } | null = null;

  const backends = async (): Promise<readonly KnownBackend[]> => {
    if (cached === null || Date.now() - cached.at > CACHE_MS) {
      const reading = readBackendReports(store);
      cached = { at: Date.now(), reading };
      reading.catch(() => (cached = null));
    }
    return cached.reading;
  };

  return {
    backends,
    async nodeClasses(pool) {
      const live = (await backends()).filter((backend) => backend.isFresh && backend.pool === pool);
      const keys = new Set(live.flatMap(({ capabilitiesKey }) => capabilitiesKey ?? []));
      const classes = (await Promise.all([...keys].map(classesOf))).flat();
      return classes.length > 0 ? new Set(classes) : null;
    },
  };
}

/** Each list is read once: its key names its hash, so it never changes. */
function createClassReader(store: ObjectStore): (key: string) => Promise<readonly string[]> {
  const classesByKey = new Map<string, readonly string[]>();
  return async (key) => {
    const known = classesByKey.get(key);
    if (known !== undefined) return known;
    const parsed = capabilitiesSchema.safeParse((await store.readJson(key))?.value);
    if (!parsed.success) return [];
    if (classesByKey.size >= MAX_CAPABILITIES) classesByKey.clear();
    classesByKey.set(key, parsed.data.nodeClasses);
    return parsed.data.nodeClasses;
  };
}
