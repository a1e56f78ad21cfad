import { cancellationSignal, log } from '@temporalio/activity';
import type { BackendActivities } from '../workflows/contracts/activities.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export function createFreeMemory({ backend }: { readonly backend: ComfyUIBackend }): BackendActivities['freeMemory'] {
  /** Safe to retry: freed twice is freed. */
  return async function freeMemory({ frees }) {
    const signal = cancellationSignal();
    try {
      await backend.use(async (client) => client.freeMemory(frees, signal));
      crashPoint('freeMemory.mid');
      log.info('ComfyUI frees its memory', { backendId: backend.backendId, frees });
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}
