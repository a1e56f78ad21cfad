import { gateInWords } from './backend-gate.js';
import type { GateHold, GatePosition } from './backend-gate.js';

/** As much of a backend's report as the explanation needs. */
export interface ReportedBackend {
  readonly backendId: string;
  readonly health: 'healthy' | 'starting' | 'down';
  readonly reason: string;
  readonly gate: GatePosition;
  /** Why it is not open; absent in what an earlier version wrote. */
  readonly gateHolds?: readonly GateHold[];
  readonly addresses: readonly { readonly address: string; readonly said: string }[];
  readonly reportedAt: string;
  /** Its worker is alive: the report is renewed. */
  readonly isFresh: boolean;
}

/** Why none of the backends of a pool can render, in plain words with every address tried; `null` when one can. */
export function explainIdleFleet(backends: readonly ReportedBackend[], pool: string): string | null {
  const fresh = backends.filter(({ isFresh }) => isFresh);
  const healthy = fresh.filter(({ health }) => health === 'healthy');
  if (healthy.some(({ gate }) => gate === 'open')) return null;
  if (healthy.length > 0) return explainShut(healthy);
  if (fresh.length > 0) return explainUnhealthy(fresh);
  if (backends.length > 0) {
    const gone = backends.map(({ backendId, reportedAt }) => `${backendId} (last heard at ${reportedAt})`);
    return `No GPU worker is running. Gone: ${gone.join(', ')}.`;
  }
  return `No GPU worker of the pool "${pool}" has reported yet. Start one with WORKER_ROLES=gpu.`;
}

function explainShut(backends: readonly ReportedBackend[]): string {
  const shut = backends.map((backend) => `${backend.backendId} is ${whyShut(backend) ?? 'open'}`);
  return `No backend takes generations now: ${shut.join('. ')}.`;
}

/** Why a backend takes nothing although it may be well, and what ends that; `null` when its gate is open. */
export function whyShut({
  backendId,
  gate,
  gateHolds = [],
}: Pick<ReportedBackend, 'backendId' | 'gate' | 'gateHolds'>): string | null {
  return gate === 'open' ? null : gateInWords(backendId, gate, gateHolds);
}

function explainUnhealthy(backends: readonly ReportedBackend[]): string {
  const tried = backends.flatMap(({ addresses }) => addresses.map(({ address, said }) => `${address} (${said})`));
  const said = tried.length > 0 ? `Tried ${tried.join(', ')}.` : backends.map(({ reason }) => reason).join(' ');
  const isStarting = backends.some(({ health }) => health === 'starting');
  return `${isStarting ? 'No ComfyUI answers yet.' : 'No ComfyUI answers.'} ${said}`;
}
