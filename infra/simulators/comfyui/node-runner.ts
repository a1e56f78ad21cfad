import type { FileStore } from './file-store.js';
import type { Graph } from './graph.js';
import type { NodeInputs } from './node-inputs.js';
import type { NodeValue } from './node-value.js';
import type { Json } from './prompt-history.js';

/** What a node may do while it runs. */
export interface NodeContext {
  readonly nodeId: string;
  readonly promptId: string;
  readonly graph: Graph;
  readonly extraData: Json;
  readonly inputs: NodeInputs;
  readonly files: FileStore;
  /** Takes one step's time each, reports progress, and ends early when the prompt is interrupted. */
  readonly runSteps: (steps: number, preview?: () => Promise<Buffer>) => Promise<void>;
  /** A TEXT frame (type 3) for this node. */
  readonly sendText: (text: string) => void;
}

export interface NodeResult {
  readonly outputs: readonly NodeValue[];
  /** What `executed` and the history show of this node. */
  readonly ui?: Json;
}

export type NodeRunner = (context: NodeContext) => Promise<NodeResult>;

/** An exception a node raises; `exceptionType` as Python names it, builtins without a module. */
export class NodeError extends Error {
  override readonly name = 'NodeError';
  readonly exceptionType: string;

  constructor(exceptionType: string, message: string) {
    super(message);
    this.exceptionType = exceptionType;
  }
}
