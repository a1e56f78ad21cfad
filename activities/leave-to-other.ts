import { cancellationSignal, log } from '@temporalio/activity';
import { gapsInWords, gapsOf, isBetterOff, needsOf } from '../workflows/domain/capability-gaps.js';
import type { Gap, Needs, Offer } from '../workflows/domain/capability-gaps.js';
import type { ApiGraph } from '../workflows/domain/graph.js';
import type { DiscoverBackendInput } from '../workflows/contracts/activities.js';
import type { GraphReference } from '../workflows/contracts/generation.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { offerOf } from './comfyui/node-catalogue.js';
import { readBackendReports, readOffer, takesGenerations } from './storage/backend-reports.js';
import type { GraphReader } from './storage/graph-reader.js';
import type { ObjectStore } from './storage/object-store.js';
import { untilAborted } from './until-aborted.js';
import { abortAfter } from '../infra/runtime/abort-after.js';

export interface LeaveToOtherDeps {
  readonly backend: ComfyUIBackend;
  readonly store: ObjectStore;
  readonly pool: string;
}

/** A ComfyUI that needs longer to say what it offers is tried. */
const CATALOGUE_MS = 5_000;

/**
 * Why a generation is left to another backend of the pool that has what is missing here: node classes, model files, memory.
 * `null` when it may be taken here: where nobody who takes generations has more, the failure says what is missing.
 */
export async function leftToOther(
  { backend, store, pool }: LeaveToOtherDeps,
  { vramGb, avoid }: DiscoverBackendInput,
  graph: ApiGraph,
): Promise<string | null> {
  const needs = needsOf(graph, vramGb ?? null);
  const own = await gapsHere(backend, needs);
  if (own.length === 0) return null;
  const reports = (await readBackendReports(store)).filter(
    (report) =>
      report.pool === pool &&
      report.backendId !== backend.backendId &&
      !avoid.includes(report.backendId) &&
      takesGenerations(report),
  );
  for (const report of reports) {
    if (!isBetterOff(gapsOf(needs, await readOffer(store, report)), own)) continue;
    return `${backend.backendId} lacks ${gapsInWords(own)}; ${report.backendId} may have it`;
  }
  return null;
}

/** The graph that decides it; empty where it cannot be read: the submission will say so. */
export async function graphForClaim(readKeptGraph: GraphReader, graph: GraphReference): Promise<ApiGraph> {
  try {
    return await readKeptGraph(graph);
  } catch (error) {
    log.warn('The graph could not be read before the claim', { key: graph.key, error });
    return {};
  }
}

async function gapsHere(backend: ComfyUIBackend, needs: Needs): Promise<readonly Gap[]> {
  const { hardware = null, vramTotalBytes = null } = backend.snapshot().found ?? {};
  return gapsOf(needs, { hardware, vramTotalBytes, ...(await offered(backend)) });
}

async function offered(backend: ComfyUIBackend): Promise<Pick<Offer, 'nodeClasses' | 'modelFiles'>> {
  try {
    const catalogue = await abortAfter(CATALOGUE_MS, [cancellationSignal()], async (signal) =>
      untilAborted(signal, (await backend.client()).nodeCatalogue()),
    );
    return offerOf(catalogue);
  } catch (error) {
    cancellationSignal().throwIfAborted();
    log.warn('The node classes of ComfyUI could not be read; it may have what is needed', { error });
    return { nodeClasses: null, modelFiles: null };
  }
}
