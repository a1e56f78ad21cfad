import { ExecutionOrder } from './execution-order.js';
import { executeNode } from './execute-node.js';
import type { ExecutionDeps, NodeExecution } from './execution-deps.js';
import { InterruptedPrompt } from './interrupt-flag.js';
import type { CachedNode } from './node-cache.js';
import { NodeFailure } from './node-failure.js';
import { nodeKeys } from './node-keys.js';
import { NodeError } from './node-runner.js';
import { ProgressState } from './progress-state.js';
import type { HistoryEntry, Json } from './prompt-history.js';
import { promptTupleOf } from './prompt-item.js';
import type { PromptItem } from './prompt-item.js';
import { tracebackOf } from './validation-error.js';

/** Runs one prompt as ComfyUI 0.8.0's PromptExecutor does and answers its history entry. */
export async function executePrompt(item: PromptItem, deps: ExecutionDeps): Promise<HistoryEntry> {
  const { hub, interrupt, cache } = deps;
  interrupt.clear(); // an interrupt that came before this moment is lost, as in ComfyUI
  hub.clientId = clientIdOf(item);
  const messages: (readonly [string, Json])[] = [];
  const say: Say = (event, data, broadcast = false) => {
    const message = { prompt_id: item.promptId, ...data, timestamp: Date.now() };
    messages.push([event, message]);
    if (hub.clientId !== null || broadcast) hub.send(event, message, hub.clientId);
  };
  say('execution_start', {});
  const keys = nodeKeys(item.graph, deps);
  cache.beginPrompt(new Set([...keys.values()].filter((key) => key !== null)));
  const isCached = (nodeId: string) => cache.get(keys.get(nodeId)) !== undefined;
  const cachedIds = Object.keys(item.graph).filter(isCached);
  say('execution_cached', { nodes: cachedIds });
  for (const nodeId of cachedIds) {
    const nodeType = item.graph[nodeId]?.class_type;
    deps.journal.write('node_cached', { promptId: item.promptId, nodeId, nodeType });
  }

  const ui = new Map<string, NonNullable<CachedNode['ui']>>();
  const run: NodeExecution = {
    item,
    keys,
    ui,
    results: new Map(),
    executed: [],
    progress: new ProgressState(item.promptId, hub),
  };
  const succeeded = await runNodes(run, deps, say);
  hub.lastNodeId = null;
  return {
    prompt: promptTupleOf(item),
    outputs: Object.fromEntries([...ui].map(([nodeId, { output }]) => [nodeId, output])),
    status: { status_str: succeeded ? 'success' : 'error', completed: succeeded, messages },
    meta: Object.fromEntries([...ui].map(([nodeId, { meta }]) => [nodeId, meta])),
  };
}

type Say = (event: string, data: Json, broadcast?: boolean) => void;

async function runNodes(run: NodeExecution, deps: ExecutionDeps, say: Say): Promise<boolean> {
  const { graph, outputNodeIds } = run.item;
  const order = new ExecutionOrder(graph, {
    isCached: (nodeId) => deps.cache.get(run.keys.get(nodeId)) !== undefined,
    isOutput: (nodeId) => deps.classes.get(graph[nodeId]?.class_type ?? '')?.output_node === true,
  });
  for (const nodeId of outputNodeIds) order.add(nodeId);
  try {
    for (let nodeId = order.next(); nodeId !== null; nodeId = order.next()) {
      await executeNode(nodeId, run, deps);
      order.complete(nodeId);
    }
  } catch (error) {
    if (!(error instanceof NodeFailure)) throw error;
    sayFailure(error, run, say);
    return false;
  }
  say('execution_success', {});
  return true;
}

function sayFailure(failure: NodeFailure, run: NodeExecution, say: Say): void {
  const { cause, nodeId } = failure;
  const where = { node_id: nodeId, node_type: run.item.graph[nodeId]?.class_type, executed: [...run.executed] };
  if (cause instanceof InterruptedPrompt) {
    say('execution_interrupted', where, true);
    return;
  }
  const exceptionType = cause instanceof NodeError ? cause.exceptionType : 'RuntimeError';
  say('execution_error', {
    ...where,
    exception_message: `${cause instanceof Error ? cause.message : String(cause)}\n${tipsFor(exceptionType)}`,
    exception_type: exceptionType,
    traceback: tracebackOf('execute'),
    current_inputs: failure.currentInputs,
    current_outputs: Object.keys(run.item.graph),
  });
}

/** Only what the allocator raised is recognised as out of memory, the driver's form is not (ComfyUI 0.8.0, execution.py). */
function tipsFor(exceptionType: string): string {
  if (!exceptionType.endsWith('OutOfMemoryError')) return '';
  return 'This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have accidentally set the batch_size to a large number.';
}

function clientIdOf(item: PromptItem): string | null {
  const clientId = item.extraData['client_id'];
  return typeof clientId === 'string' ? clientId : null;
}
