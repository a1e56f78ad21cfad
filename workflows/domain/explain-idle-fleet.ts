/** As much of a backend's report as the explanation needs. */
export interface ReportedBackend {
  readonly backendId: string;
  readonly health: 'healthy' | 'starting' | 'down';
  readonly reason: string;
  readonly addresses: readonly { readonly address: string; readonly said: string }[];
  readonly reportedAt: string;
  /** Its worker is alive: the report is renewed. */
  readonly isFresh: boolean;
}

/** Why none of the backends of a pool can render, in plain words with every address tried; `null` when one can. */
export function explainIdleFleet(backends: readonly ReportedBackend[], pool: string): string | null {
  const fresh = backends.filter(({ isFresh }) => isFresh);
  if (fresh.some(({ health }) => health === 'healthy')) return null;
  if (fresh.length > 0) return explainUnhealthy(fresh);
  if (backends.length > 0) {
    const gone = backends.map(({ backendId, reportedAt }) => `${backendId} (last heard at ${reportedAt})`);
    return `No GPU worker is running. Gone: ${gone.join(', ')}.`;
  }
  return `No GPU worker of the pool "${pool}" has reported yet. Start one with WORKER_ROLES=gpu.`;
}

function explainUnhealthy(backends: readonly ReportedBackend[]): string {
  const tried = backends.flatMap(({ addresses }) => addresses.map(({ address, said }) => `${address} (${said})`));
  const said = tried.length > 0 ? `Tried ${tried.join(', ')}.` : backends.map(({ reason }) => reason).join(' ');
  const isStarting = backends.some(({ health }) => health === 'starting');
  return `${isStarting ? 'No ComfyUI answers yet.' : 'No ComfyUI answers.'} ${said}`;
}
