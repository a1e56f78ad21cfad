import { mayFit, vramInWords } from '../workflows/domain/vram.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { readBackendReports, takesGenerations } from './storage/backend-reports.js';
import type { ObjectStore } from './storage/object-store.js';

/**
 * Why a generation is left to another backend that may have enough memory for it; `null` when it may be taken here. The
 * estimate is one: where nobody larger takes generations now, it is tried.
 */
export async function leftToLarger(
  { backend, store }: { readonly backend: ComfyUIBackend; readonly store: ObjectStore },
  { vramGb, avoid }: { readonly vramGb?: number; readonly avoid: readonly string[] },
): Promise<string | null> {
  const card = backend.snapshot().found;
  if (vramGb === undefined || card === null || mayFit(card, vramGb)) return null;
  const reports = await readBackendReports(store);
  const pool = reports.find(({ backendId }) => backendId === backend.backendId)?.pool;
  const larger = reports.find(
    (report) =>
      report.pool === pool &&
      report.backendId !== backend.backendId &&
      !avoid.includes(report.backendId) &&
      takesGenerations(report) &&
      mayFit(report, vramGb),
  );
  if (larger === undefined) return null;
  return `It needs about ${vramGb} GB of VRAM, ${backend.backendId} has ${vramInWords(card.vramTotalBytes)}; ${larger.backendId} may have enough`;
}
