import type { BackendPolling, BackendState, BackendSummary, GateAnswer } from './contracts/backend.js';
import { gatePositionOf } from './domain/backend-gate.js';

const GATE_WORDS = {
  open: 'takes generations',
  draining: 'nothing new starts, what runs ends',
  closed: 'nothing is submitted',
} as const;

const BYTES_PER_GIB = 1024 ** 3;

/** Current details in the Web UI: who holds the backend, how its ComfyUI is, and what its gate does. */
export function tellBackend(state: BackendState): string {
  const { holder, summary, gate, gateAnswer } = state;
  const position = gatePositionOf(gate);
  const lines = [
    holder === null
      ? '**No worker**: waiting for one to acquire this backend'
      : `**${summary?.holderId === holder.holderId ? summary.health : 'held'}** by process ${holder.pid} on \`${holder.host}\` since ${holder.since}`,
    ...(summary === null ? [] : [comfyuiOf(summary)]),
    ...(summary?.polling === undefined ? [] : [pollingOf(summary.polling)]),
    `Gate **${position}**: ${GATE_WORDS[position]}`,
    ...(gate.quarantine === null ? [] : [`Quarantined until its ComfyUI restarts: ${gate.quarantine}`]),
    ...(gate.emergency == null ? [] : [`**Emergency stop**, until the service is resumed: ${gate.emergency}`]),
    ...(gateAnswer === null ? [] : [queueOf(gateAnswer)]),
    ...(position !== 'open' && summary?.isIdle === true ? ['**Idle**: nothing runs or waits in its ComfyUI'] : []),
    'What it runs now: the heartbeat of `tendBackend` under Pending Activities',
  ];
  return lines.join('\n\n');
}

function pollingOf({ polls, loadedModels, queueChanges }: BackendPolling): string {
  const models = loadedModels.length === 0 ? '' : `, \`${loadedModels.join('`, `')}\` in memory`;
  return `Claims from \`${polls}\`${models}; ${queueChanges} changes of queue`;
}

function comfyuiOf(summary: BackendSummary): string {
  const { comfyuiVersion, device, hardware, deviceName, vramTotalBytes, reason } = summary;
  if (comfyuiVersion === null) return `ComfyUI: ${reason}`;
  const vram = vramTotalBytes === null ? '' : `, ${(vramTotalBytes / BYTES_PER_GIB).toFixed(1)} GiB`;
  return `ComfyUI ${comfyuiVersion} on ${hardware ?? device ?? 'an unknown device'} \`${deviceName ?? 'unnamed'}\`${vram}`;
}

function queueOf({ position, running, pending }: GateAnswer): string {
  const queue =
    running === null || pending === null ? 'its ComfyUI did not answer' : `${running} ran, ${pending} waited`;
  return `When the gate was set to ${position}: ${queue}`;
}
