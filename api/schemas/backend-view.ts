import { GATE_CAUSES, GATE_POSITIONS } from '../../workflows/domain/backend-gate.js';
import { HARDWARE_CLASSES } from '../../workflows/domain/hardware.js';
import { z } from './openapi-zod.js';

export const backendViewSchema = z.object({
  backendId: z.string(),
  pool: z.string(),
  state: z.enum(['fresh', 'stale']).describe('stale: its worker no longer reports.'),
  health: z.enum(['healthy', 'starting', 'down']).describe('As of reportedAt.'),
  reason: z.string(),
  gate: z
    .enum(GATE_POSITIONS)
    .describe('draining: nothing new starts, what runs ends. closed: nothing is submitted. gateHolds says why.'),
  gateHolds: z
    .array(
      z.object({
        cause: z.enum(GATE_CAUSES),
        reason: z.string().nullable().describe('That was given; null where none is asked for.'),
        endedBy: z.string().describe('The route that ends it. A quarantine ends with a restart of its ComfyUI, too.'),
      }),
    )
    .readonly()
    .describe('Everything that keeps the gate from being open: it opens when all of it has ended.'),
  addresses: z.array(z.object({ address: z.string(), said: z.string() })).readonly(),
  comfyuiVersion: z.string().nullable(),
  device: z.enum(['gpu', 'cpu']).nullable(),
  hardware: z
    .enum(HARDWARE_CLASSES)
    .nullable()
    .optional()
    .describe('low-vram: a GPU whose ComfyUI was started with --lowvram or --novram.'),
  deviceName: z.string().nullable(),
  vramTotalBytes: z.number().nullable(),
  vramFreeBytes: z.number().nullable().optional().describe('At the time of the report.'),
  queueRemaining: z.number().nullable(),
  maxGpuJobs: z.number(),
  polls: z
    .string()
    .optional()
    .describe('The Task Queue that its claims come from: one for each pool and set of models.'),
  loadedModels: z.array(z.string()).readonly().optional().describe('Checkpoints of the last generation it was given.'),
  queueChanges: z.number().optional().describe('Since its worker started.'),
  reportedAt: z.string(),
});
export type BackendView = z.infer<typeof backendViewSchema>;

export const quarantineRequestSchema = z.strictObject({
  reason: z
    .string()
    .trim()
    .min(1)
    .max(500)
    .optional()
    .describe('For other operators. Without one a quarantine that is in force keeps the reason it has.'),
});

export const backendCommandSchema = z.object({
  backendId: z.string(),
  requested: z
    .enum(['drain', 'resume', 'quarantine'])
    .describe('GET /v1/backends shows the gate once the worker has set it.'),
});
export type BackendCommandView = z.infer<typeof backendCommandSchema>;
