import type { ControlActivities, FindOtherBackendInput } from '../workflows/contracts/activities.js';
import { isModelFile } from '../workflows/domain/classify-execution-error.js';
import type { ApiGraph } from '../workflows/domain/graph.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { readBackendReports, readModelFiles, takesGenerations } from './storage/backend-reports.js';
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
  ...[reports, { wanted, failedOn, graph, missing }]: [readonly KnownBackend[], FindOtherBackendInput]
): Promise<(report: KnownBackend) => boolean> {
  if (wanted === 'more_vram') {
    const vramBytes = reports.find(({ backendId }) => backendId === failedOn)?.vramTotalBytes ?? null;
    return ({ vramTotalBytes }) => vramBytes !== null && vramTotalBytes !== null && vramTotalBytes <= vramBytes;
  }
  if (wanted === 'any') return () => false;
  const filesOf = new Map(
    await Promise.all(reports.map(async (report) => [report.backendId, await readModelFiles(store, report)] as const)),
  );
  // A text of the graph may look like a file: only what some backend offers is one.
  const offered = [...filesOf.values()].flatMap((files) => [...(files ?? [])]);
  const named = modelFilesIn(await readGraph(store, graph)).filter((file) => offered.includes(file));
  return ({ backendId }) => {
    const files = filesOf.get(backendId) ?? null;
    return files !== null && [...named, ...missing].some((file) => !files.has(file));
  };
}

function modelFilesIn(graph: ApiGraph): readonly string[] {
  return Object.values(graph).flatMap(({ inputs }) => Object.values(inputs).filter(isModelFile));
}
