import type { ControlActivities } from '../workflows/contracts/activities.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { readBackendReports } from './storage/backend-reports.js';
import type { ObjectStore } from './storage/object-store.js';

export function createFindOtherBackend({
  store,
}: {
  readonly store: ObjectStore;
}): ControlActivities['findOtherBackend'] {
  /** Safe to retry: it only reads what the GPU workers have reported. */
  return async function findOtherBackend({ pool, avoid }) {
    try {
      const reports = await readBackendReports(store);
      return reports.some((report) => report.isFresh && report.pool === pool && !avoid.includes(report.backendId));
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}
