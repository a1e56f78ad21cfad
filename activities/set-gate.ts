import { cancellationSignal, log } from '@temporalio/activity';
import type { BackendOperations } from '../workflows/contracts/backend.js';
import type { BackendHold } from './backend-hold.js';
import { ensureMeantForUs } from './backend-hold.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { ComfyUIError } from './comfyui/errors.js';
import type { GateSwitch } from './comfyui/gate-switch.js';
import { queueCounts } from './comfyui/queue-counts.js';

export interface SetGateDeps {
  readonly backend: ComfyUIBackend;
  readonly gate: GateSwitch;
  readonly hold: BackendHold;
}

export function createSetGate({ backend, gate, hold }: SetGateDeps): BackendOperations['setGate'] {
  /** Safe to retry: a gate that stands there already is left there; it is set before anything is asked. */
  return async function setGate({ holderId, position, holds }) {
    ensureMeantForUs(hold, holderId);
    gate.set(position, holds);
    log.info('The gate is set', { backendId: backend.backendId, position, holds });
    return { position, ...(await countsOrNothing(backend)) };
  };
}

async function countsOrNothing(backend: ComfyUIBackend) {
  const unknown = { running: null, pending: null };
  if (backend.snapshot().found === null) return unknown; // looking for it could take minutes
  const signal = cancellationSignal();
  try {
    return await backend.use(async (client) => queueCounts(client, signal));
  } catch (error) {
    if (error instanceof ComfyUIError) return unknown;
    throw error;
  }
}
