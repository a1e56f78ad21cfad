import type { ControlUpkeep } from '../../workflows/contracts/upkeep.js';
import { readBackendReports } from '../storage/backend-reports.js';
import type { ObjectStore } from '../storage/object-store.js';

export function createFindLiveBackends(deps: { readonly store: ObjectStore }): ControlUpkeep['findLiveBackends'] {
  /** Safe to retry: it only reads. One whose worker is away is looked at by a later run. */
  return async function findLiveBackends() {
    const reports = await readBackendReports(deps.store);
    return reports.filter(({ isFresh }) => isFresh).map(({ backendId }) => backendId);
  };
}
