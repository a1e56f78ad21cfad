import { gapsOf } from '../../workflows/domain/capability-gaps.js';
import type { Needs } from '../../workflows/domain/capability-gaps.js';
import type { JudgedBackend } from '../../workflows/domain/explain-unfit-fleet.js';
import { readBackendReports, readOffer } from './backend-reports.js';
import type { ObjectStore } from './object-store.js';

/** The backends of a pool before one generation. */
export async function judgeBackends(
  store: ObjectStore,
  { pool, needs, avoid }: { readonly pool: string; readonly needs: Needs; readonly avoid: readonly string[] },
): Promise<readonly JudgedBackend[]> {
  const ofPool = (await readBackendReports(store)).filter((report) => report.pool === pool);
  return Promise.all(
    ofPool.map(async (report) => ({
      ...report,
      gaps: gapsOf(needs, await readOffer(store, report)),
      isAvoided: avoid.includes(report.backendId),
    })),
  );
}
