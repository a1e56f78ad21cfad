import { z } from './openapi-zod.js';

/** B2, API4: no graph of a person is larger. */
export const MAX_GRAPH_NODES = 500;

const graphNode = z
  .object({
    class_type: z.string().min(1).max(200),
    inputs: z.record(z.string(), z.unknown()),
    _meta: z.object({ title: z.string().optional() }).optional(),
  })
  .strict();

/** ComfyUI's API format: node id → node. */
export const apiGraphSchema = z
  .record(z.string().min(1).max(100), graphNode)
  .refine((graph) => Object.keys(graph).length > 0, 'has no nodes')
  .refine((graph) => Object.keys(graph).length <= MAX_GRAPH_NODES, `has more than ${MAX_GRAPH_NODES} nodes`);
