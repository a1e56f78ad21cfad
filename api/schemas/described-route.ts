import { z } from './openapi-zod.js';
import type { ProblemCode } from '../problems.js';

interface DescribedAnswer {
  readonly description: string;
  readonly schema?: z.ZodType;
  readonly mediaType?: string;
  readonly headers?: Readonly<Record<string, z.ZodType>>;
}

/** One route as the OpenAPI document shows it; `test/api` compares the list with what the app answers. */
export interface DescribedRoute {
  readonly method: 'get' | 'post' | 'delete';
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly params?: Readonly<Record<string, z.ZodType>>;
  readonly query?: z.ZodObject;
  readonly headers?: Readonly<Record<string, z.ZodType>>;
  readonly body?: z.ZodType;
  /** JSON if absent. */
  readonly bodyType?: 'multipart/form-data';
  readonly answers: Readonly<Record<string, DescribedAnswer>>;
  readonly problems: readonly ProblemCode[];
}

/** Any route can answer with these. */
export const EVERYWHERE = [
  'host_not_allowed',
  'uri_too_long',
  'internal_error',
] as const satisfies readonly ProblemCode[];
export const WRITES = [
  ...EVERYWHERE,
  'cross_site_refused',
  'database_unavailable',
] as const satisfies readonly ProblemCode[];
export const READS = [...EVERYWHERE, 'database_unavailable'] as const satisfies readonly ProblemCode[];

export const id = { id: z.string().regex(/^gen_[0-9a-f]{32}$/) };
