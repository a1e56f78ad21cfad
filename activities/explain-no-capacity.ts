import type { ControlActivities } from '../workflows/contracts/activities.js';
import { explainIdleFleet } from '../workflows/domain/explain-idle-fleet.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { NO_FAL_KEY } from './fal/errors.js';
import { readBackendReports } from './storage/backend-reports.js';
import type { ObjectStore } from './storage/object-store.js';

export interface ExplainNoCapacityDeps {
  readonly store: ObjectStore;
  /** Of fal.ai. */
  readonly hasKey: boolean;
}

export function createExplainNoCapacity(deps: ExplainNoCapacityDeps): ControlActivities['explainNoCapacity'] {
  const { store, hasKey } = deps;
  /** Safe to retry: it only reads what the GPU workers have reported. */
  return async function explainNoCapacity({ pool, avoid = [], falObstacle }) {
    try {
      const ofPool = (await readBackendReports(store)).filter((report) => report.pool === pool);
      const idle = explainIdleFleet(ofPool, pool, avoid);
      if (idle === null) return 'Every GPU was busy with other generations the whole time.';
      const lacking = falObstacle === null && !hasKey ? NO_FAL_KEY : (falObstacle ?? null);
      return lacking === null ? idle : `${idle} Cannot auto-fallback: ${lacking}`;
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}
