import type { ControlActivities } from '../workflows/contracts/activities.js';
import { NOTHING, needsOf } from '../workflows/domain/capability-gaps.js';
import { explainUnfitFleet } from '../workflows/domain/explain-unfit-fleet.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { NO_FAL_KEY } from './fal/errors.js';
import { readGraph } from './storage/graph-documents.js';
import { judgeBackends } from './storage/judge-backends.js';
import type { ObjectStore } from './storage/object-store.js';

export interface ExplainNoCapacityDeps {
  readonly store: ObjectStore;
  /** Of fal.ai. */
  readonly hasKey: boolean;
}

export function createExplainNoCapacity(deps: ExplainNoCapacityDeps): ControlActivities['explainNoCapacity'] {
  const { store, hasKey } = deps;
  /** Safe to retry: it only reads what the GPU workers have reported. */
  return async function explainNoCapacity({ pool, falObstacle, wanted }) {
    try {
      const needs = wanted === undefined ? NOTHING : needsOf(await readGraph(store, wanted.graph), wanted.vramGb);
      const backends = await judgeBackends(store, { pool, needs, avoid: wanted?.avoid ?? [] });
      const idle = explainUnfitFleet(backends, pool);
      if (idle === null) return 'Every GPU was busy with other generations the whole time.';
      const lacking = falObstacle === null && !hasKey ? NO_FAL_KEY : (falObstacle ?? null);
      return lacking === null ? idle : `${idle} Cannot auto-fallback: ${lacking}`;
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}
