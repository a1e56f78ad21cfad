import { z } from 'zod';
import {
  BACKEND_REPORT_PREFIX,
  BACKEND_REPORT_STALE_MS,
  backendReportKey,
} from '../../workflows/contracts/backend-report.js';
import type { BackendCapabilities, BackendReport } from '../../workflows/contracts/backend-report.js';
import { GATE_CAUSES, GATE_POSITIONS } from '../../workflows/domain/backend-gate.js';
import type { Offer } from '../../workflows/domain/capability-gaps.js';
import { HARDWARE_CLASSES } from '../../workflows/domain/hardware.js';
import type { ObjectStore } from './object-store.js';

/** A report, and whether the worker that wrote it is still there. */
export interface KnownBackend extends BackendReport {
  readonly isFresh: boolean;
}

const MAX_REPORTS = 1_000;

const reportSchema: z.ZodType<BackendReport> = z.object({
  backendId: z.string(),
  pool: z.string(),
  health: z.enum(['healthy', 'starting', 'down']),
  reason: z.string(),
  gate: z.enum(GATE_POSITIONS).default('open'), // a worker of an earlier version does not say
  gateHolds: z.array(z.object({ cause: z.enum(GATE_CAUSES), reason: z.string().nullable() })).exactOptional(),
  addresses: z.array(z.object({ address: z.string(), said: z.string() })),
  comfyuiVersion: z.string().nullable(),
  device: z.enum(['gpu', 'cpu']).nullable(),
  hardware: z.enum(HARDWARE_CLASSES).nullable().exactOptional(),
  deviceName: z.string().nullable(),
  vramTotalBytes: z.number().nullable(),
  queueRemaining: z.number().nullable(),
  maxGpuJobs: z.number(),
  polls: z.string().exactOptional(),
  loadedModels: z.array(z.string()).exactOptional(),
  queueChanges: z.number().exactOptional(),
  capabilitiesKey: z.string().nullable(),
  reportedAt: z.string(),
  vramFreeBytes: z.number().nullable().exactOptional(),
  usage: z.object({ busySeconds: z.number(), idleWhileWaitingSeconds: z.number() }).exactOptional(),
  disk: z.object({ freeBytes: z.number(), spoolBytes: z.number() }).nullable().exactOptional(),
});

/** Every report in the store; one that another version wrote says nothing to this one and is left out. */
export async function readBackendReports(store: ObjectStore): Promise<readonly KnownBackend[]> {
  const keys = (await store.keysUnder(BACKEND_REPORT_PREFIX)).slice(0, MAX_REPORTS);
  const documents = await Promise.all(keys.map(async (key) => store.readJson(key)));
  return documents.flatMap((document) => {
    const report = reportSchema.safeParse(document?.value).data;
    return report === undefined ? [] : [{ ...report, isFresh: isFresh(report) }];
  });
}

/** One that is drained or in quarantine, or whose ComfyUI has gone away, would be waited for in vain. */
export function takesGenerations({ isFresh, health, gate }: KnownBackend): boolean {
  return isFresh && health !== 'down' && gate === 'open';
}

/** What one backend reported last, `null` when there is no report that this version understands. */
export async function readBackendReport(store: ObjectStore, backendId: string): Promise<BackendReport | null> {
  const document = await store.readJson(backendReportKey(backendId));
  return reportSchema.safeParse(document?.value).data ?? null;
}

/** What a backend was last known to have. */
export async function readOffer(store: ObjectStore, report: BackendReport): Promise<Offer> {
  const { hardware = null, vramTotalBytes, capabilitiesKey } = report;
  const stored = capabilitiesKey === null ? null : await store.readJson(capabilitiesKey);
  const { nodeClasses, modelFiles } = capabilitiesSchema.safeParse(stored?.value).data ?? {};
  return {
    ...{ hardware, vramTotalBytes },
    nodeClasses: nodeClasses === undefined || nodeClasses.length === 0 ? null : new Set(nodeClasses),
    modelFiles: modelFiles === undefined ? null : new Set(modelFiles),
  };
}

const capabilitiesSchema: z.ZodType<BackendCapabilities> = z.object({
  nodeClasses: z.array(z.string()),
  modelFiles: z.array(z.string()).exactOptional(),
});

/** Model files of a backend, `null` where nothing is known of them. */
export async function readModelFiles(
  store: ObjectStore,
  { capabilitiesKey }: Pick<BackendReport, 'capabilitiesKey'>,
): Promise<ReadonlySet<string> | null> {
  if (capabilitiesKey === null) return null;
  const { modelFiles } = capabilitiesSchema.safeParse((await store.readJson(capabilitiesKey))?.value).data ?? {};
  return modelFiles === undefined ? null : new Set(modelFiles);
}

function isFresh({ reportedAt }: BackendReport): boolean {
  return Date.now() - Date.parse(reportedAt) < BACKEND_REPORT_STALE_MS;
}
