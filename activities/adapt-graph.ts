import { log } from '@temporalio/activity';
import type { AdaptGraphInput, AdaptedGraph, ControlActivities } from '../workflows/contracts/activities.js';
import type { ExpectedOutputs } from '../workflows/contracts/generation.js';
import {
  adaptedEdge,
  adaptedGraph,
  batchSizeOf,
  nextAdaptation,
  parametersOf,
} from '../workflows/domain/adaptation.js';
import type { Adaptation } from '../workflows/domain/adaptation.js';
import { closestNames } from '../workflows/domain/closest-names.js';
import type { ApiGraph } from '../workflows/domain/graph.js';
import { heavyModelsOf } from '../workflows/domain/heavy-models.js';
import type { ParameterAdjustment } from '../workflows/domain/recovery-rule.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { readBackendReport, readModelFiles } from './storage/backend-reports.js';
import { crashPoint } from '../infra/runtime/crash-point.js';
import { readGraph, storeGraph } from './storage/graph-documents.js';
import type { ObjectStore } from './storage/object-store.js';

export function createAdaptGraph({ store }: { readonly store: ObjectStore }): ControlActivities['adaptGraph'] {
  /** Safe to retry: the same change of the same graph is stored under the same key. */
  return async function adaptGraph(input) {
    try {
      return await adapt(store, input);
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

async function adapt(store: ObjectStore, input: AdaptGraphInput): Promise<AdaptedGraph | null> {
  const { adaptation: current, change, expected, adjust = [] } = input;
  const accepted = await readGraph(store, input.graph);
  warnOfUnknown(accepted, adjust);
  const substitutes = await orderedSubstitutes(store, input);
  const adaptation = nextAdaptation(accepted, current, change, { substitutes, adjust });
  if (adaptation === null) return null;
  const named = adjust.map(({ parameter }) => parameter);
  const adapted = adaptedGraph(accepted, adaptation);
  const graph = await storeGraph(store, adapted);
  crashPoint('adaptGraph.mid');
  return {
    ...{ adaptation, graph },
    expected: expectedOf(expected, adaptation, batchSizeOf(accepted)),
    before: parametersOf(accepted, current, named),
    after: parametersOf(accepted, adaptation, named),
    models: heavyModelsOf(adapted),
  };
}

/** Custom nodes may have inputs of any name, so a rule that is misspelt shows only here. */
function warnOfUnknown(graph: ApiGraph, adjust: readonly ParameterAdjustment[]): void {
  const numbers = Object.values(graph).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([name, value]) => (typeof value === 'number' ? [name] : [])),
  );
  const known = new Set(numbers);
  for (const { parameter } of adjust) {
    if (known.has(parameter)) continue;
    const closest = closestNames(parameter, known);
    log.warn('A rule of RECOVERY_CONFIG adjusts a parameter that no node of the graph has as a number', {
      parameter,
      closest,
    });
  }
}

/** R5.4: those that the backend has come first; what it is not known to have may have been added since. */
async function orderedSubstitutes(
  store: ObjectStore,
  { substitutes, backendId }: AdaptGraphInput,
): Promise<readonly string[]> {
  const report = backendId === undefined ? null : await readBackendReport(store, backendId);
  const files = report === null ? null : await readModelFiles(store, report);
  if (files === null) return substitutes;
  return [...substitutes.filter((name) => files.has(name)), ...substitutes.filter((name) => !files.has(name))];
}

/** What the outputs of the part that is rendered now must be. */
function expectedOf(expected: ExpectedOutputs, ...[adaptation, batchSize]: [Adaptation, number]): ExpectedOutputs {
  const { widthPx, heightPx, count } = expected;
  const [part] = adaptation.parts;
  const edge = (name: 'width' | 'height', edgePx: number | null) =>
    edgePx === null ? null : adaptedEdge(edgePx, name, adaptation);
  return {
    ...expected,
    widthPx: edge('width', widthPx),
    heightPx: edge('height', heightPx),
    count: part === undefined || count === null ? count : (count / batchSize) * part.count,
  };
}
