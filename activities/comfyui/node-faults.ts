import { z } from 'zod';
import type { NodeFault } from './errors.js';

const nodeErrorsSchema = z.record(
  z.string(),
  z.looseObject({
    class_type: z.string().default('unknown'),
    errors: z
      .array(
        z.looseObject({
          type: z.string().default('unknown'),
          message: z.string().default(''),
          details: z.string().default(''),
          extra_info: z
            .looseObject({ input_name: z.string().optional(), received_value: z.unknown().optional() })
            .optional(),
        }),
      )
      .default([]),
  }),
);

/** `node_errors` of an answer to `POST /prompt`, flattened; an empty list when there are none. */
export function nodeFaultsOf(nodeErrors: unknown): readonly NodeFault[] {
  const byNode = nodeErrorsSchema.safeParse(nodeErrors).data ?? {};
  return Object.entries(byNode).flatMap(([nodeId, node]) =>
    node.errors.map((error) => ({
      nodeId,
      nodeType: node.class_type,
      type: error.type,
      message: error.message,
      details: error.details,
      inputName: error.extra_info?.input_name ?? null,
      receivedValue: error.extra_info?.received_value,
    })),
  );
}
