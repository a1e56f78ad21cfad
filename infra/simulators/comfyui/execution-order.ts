import { isLink } from './graph.js';
import type { Graph } from './graph.js';

interface PendingNode {
  blockers: number;
  readonly blocks: Set<string>;
}

/**
 * Which node runs next (ComfyUI 0.8.0, comfy_execution/graph.py): output nodes first, then nodes that lead to an
 * output in one or two hops, else in the order they were found walking up from the outputs.
 */
export class ExecutionOrder {
  readonly #pending = new Map<string, PendingNode>();
  readonly #graph: Graph;
  readonly #isCached: (nodeId: string) => boolean;
  readonly #isOutput: (nodeId: string) => boolean;

  constructor(
    graph: Graph,
    claims: { readonly isCached: (nodeId: string) => boolean; readonly isOutput: (nodeId: string) => boolean },
  ) {
    this.#graph = graph;
    this.#isCached = claims.isCached;
    this.#isOutput = claims.isOutput;
  }

  /** Adds a node and everything upstream of it that is not cached. */
  add(outputId: string): void {
    const stack = [outputId];
    const links: (readonly [string, string])[] = [];
    for (let nodeId = stack.pop(); nodeId !== undefined; nodeId = stack.pop()) {
      if (this.#pending.has(nodeId)) continue;
      this.#pending.set(nodeId, { blockers: 0, blocks: new Set() });
      for (const sourceId of this.#sourcesOf(nodeId)) {
        if (this.#isCached(sourceId)) continue;
        stack.push(sourceId);
        links.push([sourceId, nodeId]);
      }
    }
    for (const [from, to] of links) this.#block(from, to);
  }

  next(): string | null {
    const ready = [...this.#pending].filter(([, node]) => node.blockers === 0).map(([nodeId]) => nodeId);
    return (
      ready.find((nodeId) => this.#isOutput(nodeId)) ??
      ready.find((nodeId) => this.#blockedBy(nodeId).some((blocked) => this.#isOutput(blocked))) ??
      ready.find((nodeId) => this.#twoHops(nodeId).some((blocked) => this.#isOutput(blocked))) ??
      ready[0] ??
      null
    );
  }

  complete(nodeId: string): void {
    for (const blocked of this.#blockedBy(nodeId)) {
      const node = this.#pending.get(blocked);
      if (node !== undefined) node.blockers -= 1;
    }
    this.#pending.delete(nodeId);
  }

  #block(from: string, to: string): void {
    const source = this.#pending.get(from);
    const target = this.#pending.get(to);
    if (source === undefined || target === undefined || source.blocks.has(to)) return;
    source.blocks.add(to);
    target.blockers += 1;
  }

  /** @NOTE throws for a link of an undeclared input to a node that does not exist: that ends ComfyUI's only worker thread. */
  #sourcesOf(nodeId: string): string[] {
    const node = this.#graph[nodeId];
    if (node === undefined) throw new Error(`NodeNotFoundError: Node ${nodeId} not found`);
    return Object.values(node.inputs).flatMap((value) => (isLink(value) ? [value[0]] : []));
  }

  #blockedBy(nodeId: string): string[] {
    return [...(this.#pending.get(nodeId)?.blocks ?? [])];
  }

  #twoHops(nodeId: string): string[] {
    return this.#blockedBy(nodeId).flatMap((blocked) => this.#blockedBy(blocked));
  }
}
