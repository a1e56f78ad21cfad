import { z } from './openapi-zod.js';
import { PROBLEMS } from '../problems.js';
import type { ProblemCode } from '../problems.js';

const CODES = Object.keys(PROBLEMS);

/** RFC 9457, with code, remedy, retryable and the places that are wrong. */
export const problemDocumentSchema = z.object({
  type: z.string().describe('Page that explains the code.'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string(),
  code: z.enum(CODES),
  remedy: z.string().describe('What the caller can do about it.'),
  retryable: z.boolean().describe('May the same request, sent again, succeed?'),
  errors: z
    .array(
      z.object({
        pointer: z.string().describe('JSON pointer into the body, or ?name for a query parameter.'),
        message: z.string(),
        nodeId: z.string().optional(),
        allowed: z.unknown().optional().describe('The range, or the complete list of what is right.'),
        closest: z.array(z.string()).optional().describe('Up to five of the right names, most alike first.'),
      }),
    )
    .optional(),
});

/** Codes by status: what the responses of a route are documented with. */
export function codesOfStatus(codes: readonly ProblemCode[]): ReadonlyMap<number, readonly ProblemCode[]> {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of codes) byStatus.set(PROBLEMS[code].status, [...(byStatus.get(PROBLEMS[code].status) ?? []), code]);
  return byStatus;
}
