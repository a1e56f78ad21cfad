import { z } from './openapi-zod.js';

export const readinessViewSchema = z.object({
  status: z
    .enum(['ok', 'degraded', 'stopped', 'unavailable'])
    .describe(
      'ok, degraded (Temporal is away): requests are accepted. stopped: an emergency stop is in force, reading and resuming work.',
    ),
  dependencies: z.object({ database: z.string(), objectStore: z.string(), temporal: z.string() }),
});
export type ReadinessView = z.infer<typeof readinessViewSchema>;
