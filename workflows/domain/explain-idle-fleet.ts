import type { GatePosition } from './backend-gate.js';

/** As much of a backend's report as the explanation needs. */
export interface ReportedBackend {
  readonly backendId: string;
  readonly health: 'healthy' | 'starting' | 'down';
  readonly reason: string;
  readonly gate: GatePosition;
  readonly addresses: readonly { readonly address: string; readonly said: string }[];
  readonly reportedAt: string;
  /** Its worker is alive: the report is renewed. */
  readonly isFresh: boolean;
}

/**
 * Why none of the backends of a pool can render, in plain words with every address tried; `null` when one can that is not
 * avoided.
 */
export function explainIdleFleet(
  backends: readonly ReportedBackend[],
  ...[pool, avoid = []]: [string, (readonly string[])?]
): string | null {
  if (backends.some(({ backendId }) => avoid.includes(backendId))) return explainAvoiding(backends, avoid);
  const fresh = backends.filter(({ isFresh }) => isFresh);
  const healthy = fresh.filter(({ health }) => health === 'healthy');
  if (fresh.some(takesGenerations)) return null;
  if (healthy.length > 0) return explainShut(healthy);
  if (fresh.length > 0) return explainUnhealthy(fresh);
  if (backends.length > 0) {
    const gone = backends.map(({ backendId, reportedAt }) => `${backendId} (last heard at ${reportedAt})`);
    return `No GPU worker is running. Gone: ${gone.join(', ')}.`;
  }
  return `No GPU worker of the pool "${pool}" has reported yet. Start one with WORKER_ROLES=gpu.`;
}

/** Each has its own reason. */
function explainAvoiding(backends: readonly ReportedBackend[], avoid: readonly string[]): string | null {
  const others = backends.filter(({ backendId }) => !avoid.includes(backendId));
  if (others.some(takesGenerations)) return null;
  const reasons = backends.map((backend) => {
    const why = avoid.includes(backend.backendId) ? 'it has failed there before' : obstacleOf(backend);
    return `${backend.backendId} (${why})`;
  });
  return `No backend may render it: ${reasons.join(', ')}.`;
}

function takesGenerations({ isFresh, health, gate }: ReportedBackend): boolean {
  return isFresh && health === 'healthy' && gate === 'open';
}

function obstacleOf({ isFresh, health, gate, reason, addresses, reportedAt }: ReportedBackend): string {
  if (!isFresh) return `its worker is gone, last heard at ${reportedAt}`;
  if (health === 'healthy') return WORDS[gate];
  const said = addresses.map(({ address, said: answer }) => `${address}: ${answer}`);
  return said.length > 0 ? said.join(', ') : reason.replace(/[.]$/, '');
}

function explainShut(backends: readonly ReportedBackend[]): string {
  const shut = backends.map(({ backendId, gate }) => `${backendId} (${WORDS[gate]})`);
  return `No backend takes generations now: ${shut.join(', ')}.`;
}

const WORDS: Readonly<Record<GatePosition, string>> = {
  open: 'open',
  draining: 'drained: POST /v1/backends/{id}/resume ends that',
  closed: 'in quarantine until its ComfyUI is restarted, or stopped',
};

function explainUnhealthy(backends: readonly ReportedBackend[]): string {
  const tried = backends.flatMap(({ addresses }) => addresses.map(({ address, said }) => `${address} (${said})`));
  const said = tried.length > 0 ? `Tried ${tried.join(', ')}.` : backends.map(({ reason }) => reason).join(' ');
  const isStarting = backends.some(({ health }) => health === 'starting');
  return `${isStarting ? 'No ComfyUI answers yet.' : 'No ComfyUI answers.'} ${said}`;
}
