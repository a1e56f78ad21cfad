import type { ApiGraph } from './graph.js';

/**
 * Every save node gets the prefix `dg/<generationId>/<submission>/<node>`: results never collide, a result can be found
 * without the history, and a run that is served from ComfyUI's cache still writes its own file (a cached save node would
 * only repeat the old names). A prefix that another node computes is replaced, too: nobody can tell what it will say.
 * Every save node of ComfyUI calls it so, and so do those of packs (`VHS_VideoCombine`).
 */
export function prefixOutputs(graph: ApiGraph, generationId: string, submission: number): ApiGraph {
  return Object.fromEntries(
    Object.entries(graph).map(([nodeId, node]) => {
      if (!Object.hasOwn(node.inputs, 'filename_prefix')) return [nodeId, node];
      const filename_prefix = `dg/${generationId}/${submission}/${safe(nodeId)}`;
      return [nodeId, { ...node, inputs: { ...node.inputs, filename_prefix } }];
    }),
  );
}

/** Node ids are the caller's text and become part of a path on the ComfyUI host. */
function safe(nodeId: string): string {
  return nodeId.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64);
}
