import { setTimeout as sleep } from 'node:timers/promises';
import { cancellationSignal, log } from '@temporalio/activity';
import type { BackendActivities, StoppedPrompt } from '../workflows/contracts/activities.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import type { ComfyUIClient } from './comfyui/comfyui-client.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

/** Between two looks. An interrupt that comes before execution has begun is lost, so it is repeated. */
const LOOK_MS = 250;

export function createStopPrompt({ backend }: { readonly backend: ComfyUIBackend }): BackendActivities['stopPrompt'] {
  /** Safe to retry: it removes and interrupts one prompt id of ours, as often as needed, and never anybody else's. */
  return async function stopPrompt({ promptId }) {
    const signal = cancellationSignal();
    backend.forecast.stopped(promptId);
    try {
      return await heartbeatWhile(async () => backend.use(async (client) => stop(client, promptId, signal)));
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

/** Stops and looks until it is over; the activity's own deadline ends the looking. */
async function stop(client: ComfyUIClient, promptId: string, signal: AbortSignal): Promise<StoppedPrompt> {
  let outcome: StoppedPrompt['outcome'] = 'absent';
  for (;;) {
    const { status } = await client.promptState(promptId, signal);
    switch (status) {
      case 'pending':
      case 'running':
        await client.stop(promptId, signal);
        crashPoint('stopPrompt.mid');
        outcome = status === 'pending' ? 'removed' : 'interrupted';
        break;
      case 'succeeded':
      case 'failed':
        return { outcome: 'finished' };
      case 'interrupted':
        return told(promptId, 'interrupted'); // also one that still waited at the last look
      case 'absent':
        return told(promptId, outcome);
    }
    await sleep(LOOK_MS, undefined, { signal });
  }
}

function told(promptId: string, outcome: StoppedPrompt['outcome']): StoppedPrompt {
  log.info('Stopped a prompt', { promptId, outcome });
  return { outcome };
}
