import type { Json } from './prompt-history.js';

/** A node failed or was interrupted (`cause` says which); the prompt ends here, what finished before stays cached. */
export class NodeFailure extends Error {
  override readonly name = 'NodeFailure';
  readonly nodeId: string;
  readonly currentInputs: Json;

  constructor(nodeId: string, currentInputs: Json, cause: unknown) {
    super(`Node ${nodeId} failed`, { cause });
    this.nodeId = nodeId;
    this.currentInputs = currentInputs;
  }
}
