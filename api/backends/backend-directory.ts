import { readBackendReports, readOffer } from '../../activities/storage/backend-reports.js';
import type { KnownBackend } from '../../activities/storage/backend-reports.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import type { Offer } from '../../workflows/domain/capability-gaps.js';
import { cachedFor } from '../queue/cached-for.js';

export type { KnownBackend } from '../../activities/storage/backend-reports.js';

/** An operator who has just opened or shut a gate looks at once. */
const CACHE_MS = 1_000;
const MAX_CAPABILITIES = 1_000;

/** What GPU workers have published about their ComfyUI; read from the object store at most once a second. */
export interface BackendDirectory {
  backends(): Promise<readonly KnownBackend[]>;
  offerOf(backend: KnownBackend): Promise<Offer>;
  /** Node classes that any live backend of the pool offers; `null` when none has said. */
  nodeClasses(pool: string): Promise<ReadonlySet<string> | null>;
}

export function createBackendDirectory({ store }: { readonly store: ObjectStore }): BackendDirectory {
  const offerOf = createOfferReader(store);
  const reports = cachedFor(CACHE_MS, async () => readBackendReports(store));
  const backends: BackendDirectory['backends'] = async () => reports.read();

  return {
    backends,
    offerOf,
    async nodeClasses(pool) {
      const live = (await backends()).filter((backend) => backend.isFresh && backend.pool === pool);
      const offers = await Promise.all(live.map(offerOf));
      const classes = offers.flatMap(({ nodeClasses }) => [...(nodeClasses ?? [])]);
      return classes.length > 0 ? new Set(classes) : null;
    },
  };
}

/** Each list is read once: its key names its hash, so it never changes. */
function createOfferReader(store: ObjectStore): BackendDirectory['offerOf'] {
  const known = new Map<string, Pick<Offer, 'nodeClasses' | 'modelFiles'>>();
  return async function offerOf(backend) {
    const { hardware = null, vramTotalBytes, capabilitiesKey: key } = backend;
    const lists = key === null ? undefined : known.get(key);
    if (lists !== undefined) return { hardware, vramTotalBytes, ...lists };
    const offer = await readOffer(store, backend);
    if (key === null || offer.nodeClasses === null) return offer;
    if (known.size >= MAX_CAPABILITIES) known.clear();
    known.set(key, { nodeClasses: offer.nodeClasses, modelFiles: offer.modelFiles });
    return offer;
  };
}
