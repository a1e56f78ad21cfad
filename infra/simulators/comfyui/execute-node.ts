import { withAssetIds } from './asset-ids.js';
import { textFrame } from './binary-frame.js';
import type { ExecutionDeps, NodeExecution } from './execution-deps.js';
import { DeadWorker, VanishedPrompt } from './faults/faults.js';
import { isLink } from './graph.js';
import type { CachedNode } from './node-cache.js';
import { NodeFailure } from './node-failure.js';
import { NodeInputs } from './node-inputs.js';
import { NodeError } from './node-runner.js';
import type { NodeContext, NodeResult } from './node-runner.js';
import { formattedValue } from './node-value.js';
import type { NodeValue } from './node-value.js';
import { nodeRunners } from './nodes/node-runners.js';
import type { Json } from './prompt-history.js';
import { runSteps } from './run-steps.js';
import type { ServerVersion } from './server-versions.js';

/** Runs one node, or repeats what it left in the cache. */
export async function executeNode(nodeId: string, run: NodeExecution, deps: ExecutionDeps): Promise<void> {
  const cached = deps.cache.get(run.keys.get(nodeId));
  if (cached !== undefined) {
    repeatCached(nodeId, cached, { run, deps });
    return;
  }
  const { hub, cache, journal } = deps;
  const { promptId, graph } = run.item;
  hub.lastNodeId = nodeId;
  run.progress.start(nodeId);
  if (hub.clientId !== null) {
    hub.send('executing', { node: nodeId, display_node: nodeId, prompt_id: promptId }, hub.clientId);
  }
  const values = resolvedInputs(nodeId, run, deps);
  if (isBlocked(nodeId, values, { run, deps })) {
    passOnBlock(nodeId, run, deps);
    return;
  }
  const result = await guarded(nodeId, values, { run, deps });
  journal.write('node_executed', { promptId, nodeId, nodeType: graph[nodeId]?.class_type });
  const finished: CachedNode = {
    outputs: result.outputs,
    ui: result.ui === undefined ? null : uiOf(nodeId, result.ui, deps.version),
  };
  if (finished.ui !== null) {
    run.ui.set(nodeId, finished.ui);
    if (hub.clientId !== null) sendExecuted(nodeId, finished.ui.output, { run, deps });
  }
  cache.set(run.keys.get(nodeId), finished);
  run.results.set(nodeId, finished);
  run.executed.push(nodeId);
  run.progress.finish(nodeId);
}

interface Running {
  readonly run: NodeExecution;
  readonly deps: ExecutionDeps;
}

/** @NOTE without a client_id a cached output does not reach the history: 0.8.0's behaviour, fixed upstream in 2026. */
function repeatCached(nodeId: string, cached: CachedNode, { run, deps }: Running): void {
  const hasClient = deps.hub.clientId !== null;
  if (hasClient) sendExecuted(nodeId, cached.ui?.output ?? null, { run, deps });
  if (cached.ui !== null && (hasClient || deps.version.cachedOutputs === 'always')) run.ui.set(nodeId, cached.ui);
  run.results.set(nodeId, cached);
  run.progress.finish(nodeId);
}

function sendExecuted(nodeId: string, output: Json | null, { run, deps }: Running): void {
  deps.hub.send(
    'executed',
    { node: nodeId, display_node: nodeId, output, prompt_id: run.item.promptId },
    deps.hub.clientId,
  );
}

function uiOf(nodeId: string, output: Json, version: ServerVersion): NonNullable<CachedNode['ui']> {
  const told = version.hasAssetIds ? withAssetIds(output) : output;
  return { output: told, meta: { node_id: nodeId, display_node: nodeId, parent_node: null, real_node_id: nodeId } };
}

/** A block that carries a text is told once, as an error that ends nothing; what comes after it is skipped in silence. */
function isBlocked(nodeId: string, values: Record<string, NodeValue>, { run, deps }: Running): boolean {
  if (Object.values(values).some((value) => typeof value === 'object' && value?.kind === 'blocked')) return true;
  const { promptId, graph } = run.item;
  const nodeType = graph[nodeId]?.class_type ?? '';
  const block = deps.faults.blockOf({ promptId, nodeType });
  if (block?.exceptionMessage !== undefined && deps.hub.clientId !== null) {
    const error = {
      ...{ prompt_id: promptId, node_id: nodeId, node_type: nodeType, executed: [...run.executed] },
      ...{ exception_message: `Execution Blocked: ${block.exceptionMessage}`, exception_type: 'ExecutionBlocked' },
      ...{ traceback: [], current_inputs: [], current_outputs: [] },
    };
    deps.hub.send('execution_error', error, deps.hub.clientId);
  }
  return block !== null;
}

/** @NOTE not cached, other than upstream: a fault that has fired as often as it should is over. */
function passOnBlock(nodeId: string, run: NodeExecution, deps: ExecutionDeps): void {
  const slots = deps.classes.get(run.item.graph[nodeId]?.class_type ?? '')?.output ?? [];
  run.results.set(nodeId, { outputs: slots.map(() => ({ kind: 'blocked' })), ui: null });
  run.executed.push(nodeId);
  run.progress.finish(nodeId);
}

async function guarded(nodeId: string, values: Record<string, NodeValue>, { run, deps }: Running): Promise<NodeResult> {
  const nodeType = run.item.graph[nodeId]?.class_type ?? '';
  try {
    await deps.faults.atNodeStart({ promptId: run.item.promptId, nodeType }, values);
    deps.interrupt.throwIfRaised();
    const runner = nodeRunners.get(nodeType);
    if (runner === undefined) throw new NodeError('NotImplementedError', `The simulator cannot run ${nodeType}`);
    return await runner(contextOf(nodeId, values, { run, deps }));
  } catch (error) {
    if (error instanceof VanishedPrompt || error instanceof DeadWorker) throw error;
    const inputs = Object.entries(values).map(([name, value]) => [name, [formattedValue(value)]]);
    throw new NodeFailure(nodeId, Object.fromEntries(inputs) as Json, error);
  }
}

function contextOf(nodeId: string, values: Record<string, NodeValue>, { run, deps }: Running): NodeContext {
  const { promptId, graph, extraData } = run.item;
  return {
    nodeId,
    promptId,
    graph,
    extraData,
    inputs: new NodeInputs(values),
    files: deps.files,
    runSteps: (steps, preview) => runSteps({ nodeId, steps, run, deps, ...(preview && { preview }) }),
    sendText: (text) => {
      deps.hub.sendBinary(textFrame(nodeId, text), deps.hub.clientId);
    },
  };
}

/** Literals of declared inputs, and for links what the other node gave (undeclared literals never reach a node). */
function resolvedInputs(nodeId: string, run: NodeExecution, deps: ExecutionDeps): Record<string, NodeValue> {
  const node = run.item.graph[nodeId];
  const values: Record<string, NodeValue> = {};
  for (const [name, input] of Object.entries(node?.inputs ?? {})) {
    if (isLink(input)) {
      const source = run.results.get(input[0]) ?? deps.cache.get(run.keys.get(input[0]));
      values[name] = source?.outputs[input[1]] ?? null;
    } else if (isScalar(input)) {
      values[name] = input;
    }
  }
  return values;
}

function isScalar(value: unknown): value is string | number | boolean | null {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
