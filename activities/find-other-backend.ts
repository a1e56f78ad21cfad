import type { ControlActivities, FindOtherBackendInput } from '../workflows/contracts/activities.js';
import { gapsOf, needsOf } from '../workflows/domain/capability-gaps.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { readBackendReports, readOffer, takesGenerations } from './storage/backend-reports.js';
import type { KnownBackend } from './storage/backend-reports.js';
import { readGraph } from './storage/graph-documents.js';
import type { ObjectStore } from './storage/object-store.js';

export function createFindOtherBackend({
  store,
}: {
  readonly store: ObjectStore;
}): ControlActivities['findOtherBackend'] {
  /** Safe to retry: it only reads what the GPU workers have reported. */
  return async function findOtherBackend(input) {
    try {
      const reports = (await readBackendReports(store)).filter(({ pool }) => pool === input.pool);
      const others = reports.filter(({ backendId }) => !input.avoid.includes(backendId));
      const lacks = await lackOf(store, reports, input);
      return {
        isThere: others.some((report) => !lacks(report) && takesGenerations(report)),
        unsuitable: others.filter(lacks).map(({ backendId }) => backendId),
      };
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

/** True of a backend that is known not to have what is wanted; what is not known may be there. */
async function lackOf(
  store: ObjectStore,
  ...[reports, input]: [readonly KnownBackend[], FindOtherBackendInput]
): Promise<(report: KnownBackend) => boolean> {
  const offers = new Map(
    await Promise.all(reports.map(async (report) => [report.backendId, await readOffer(store, report)] as const)),
  );
  const needs = needsOf(await readGraph(store, input.graph), null);
  // A text of the graph may look like a file: only what some backend offers is one.
  const named = needs.files.filter((file) => [...offers.values()].some(({ modelFiles }) => modelFiles?.has(file)));
  const wanted = { ...needs, files: [...named, ...input.missing] };
  return (report) => {
    const offer = offers.get(report.backendId);
    if (offer !== undefined && gapsOf(wanted, offer).length > 0) return true;
    return input.wanted === 'more_vram' && !mayHaveMoreVram(report, reports, input);
  };
}

function mayHaveMoreVram(
  { vramTotalBytes }: KnownBackend,
  ...[reports, { failedOn }]: [readonly KnownBackend[], FindOtherBackendInput]
): boolean {
  const vramBytes = reports.find(({ backendId }) => backendId === failedOn)?.vramTotalBytes ?? null;
  return vramBytes === null || vramTotalBytes === null || vramTotalBytes > vramBytes;
}
