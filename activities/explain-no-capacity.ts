import type { ControlActivities } from '../workflows/contracts/activities.js';
import { explainIdleFleet } from '../workflows/domain/explain-idle-fleet.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { readBackendReports } from './storage/backend-reports.js';
import type { ObjectStore } from './storage/object-store.js';

export function createExplainNoCapacity({
  store,
}: {
  readonly store: ObjectStore;
}): ControlActivities['explainNoCapacity'] {
  /** Safe to retry: it only reads what the GPU workers have reported. */
  return async function explainNoCapacity({ pool }) {
    try {
      const ofPool = (await readBackendReports(store)).filter((report) => report.pool === pool);
      return explainIdleFleet(ofPool, pool) ?? 'Every GPU was busy with other generations the whole time.';
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}
