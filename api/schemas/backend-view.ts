import { z } from './openapi-zod.js';

export const backendViewSchema = z.object({
  backendId: z.string(),
  pool: z.string(),
  state: z.enum(['fresh', 'stale']).describe('stale: its worker no longer reports.'),
  health: z.enum(['healthy', 'starting', 'down']).describe('As of reportedAt.'),
  reason: z.string(),
  addresses: z.array(z.object({ address: z.string(), said: z.string() })).readonly(),
  comfyuiVersion: z.string().nullable(),
  device: z.enum(['gpu', 'cpu']).nullable(),
  deviceName: z.string().nullable(),
  vramTotalBytes: z.number().nullable(),
  queueRemaining: z.number().nullable(),
  maxGpuJobs: z.number(),
  reportedAt: z.string(),
});
export type BackendView = z.infer<typeof backendViewSchema>;
