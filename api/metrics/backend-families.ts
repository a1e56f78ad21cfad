import type { KnownBackend } from '../backends/backend-directory.js';
import type { MetricFamily, Sample } from './exposition.js';

/** What GPU workers report of their ComfyUIs, so that no port of a GPU host must be open; at most some 15 s old. */
export function backendFamilies(backends: readonly KnownBackend[]): readonly MetricFamily[] {
  const live = backends.filter(({ isFresh }) => isFresh);
  const isUp: FigureOf = ({ isFresh, health }) => (isFresh && health === 'healthy' ? 1 : 0);
  return [
    {
      name: 'backend_up',
      type: 'gauge',
      help: '1: its worker reports, and its ComfyUI answers.',
      samples: samplesOf(backends, isUp),
    },
    ...REPORTED.map(({ figureOf, ...family }) => ({ ...family, samples: samplesOf(live, figureOf) })),
  ];
}

type FigureOf = (backend: KnownBackend) => number | null;

const REPORTED: readonly (Omit<MetricFamily, 'samples'> & { readonly figureOf: FigureOf })[] = [
  {
    name: 'backend_gate_open',
    type: 'gauge',
    help: '0: drained, in quarantine, or stopped.',
    figureOf: ({ gate }) => (gate === 'open' ? 1 : 0),
  },
  {
    name: 'backend_slots',
    type: 'gauge',
    help: 'Prompts that it may run at a time.',
    figureOf: ({ maxGpuJobs }) => maxGpuJobs,
  },
  {
    name: 'backend_queue',
    type: 'gauge',
    help: 'Prompts that run or wait in its own queue.',
    figureOf: ({ queueRemaining }) => queueRemaining,
  },
  {
    name: 'backend_vram_total_bytes',
    type: 'gauge',
    help: 'Memory of its card.',
    figureOf: ({ vramTotalBytes }) => vramTotalBytes,
  },
  {
    name: 'backend_vram_free_bytes',
    type: 'gauge',
    help: 'What of it is free.',
    figureOf: ({ vramFreeBytes }) => vramFreeBytes ?? null,
  },
  {
    name: 'backend_disk_free_bytes',
    type: 'gauge',
    help: 'Free space where its outputs lie on their way to the object store.',
    figureOf: ({ disk }) => disk?.freeBytes ?? null,
  },
  {
    name: 'backend_spool_bytes',
    type: 'gauge',
    help: 'Outputs that are on their way.',
    figureOf: ({ disk }) => disk?.spoolBytes ?? null,
  },
  {
    name: 'backend_busy_seconds_total',
    type: 'counter',
    help: 'Its ComfyUI had prompts that ran or waited; since its worker began.',
    figureOf: ({ usage }) => usage?.busySeconds ?? null,
  },
  {
    name: 'backend_idle_while_waiting_seconds_total',
    type: 'counter',
    help: 'It had none while the generation that it got next was waiting for a GPU; since its worker began.',
    figureOf: ({ usage }) => usage?.idleWhileWaitingSeconds ?? null,
  },
  {
    name: 'backend_queue_changes_total',
    type: 'counter',
    help: 'Its worker began to claim from another queue; since it began.',
    figureOf: ({ queueChanges }) => queueChanges ?? 0,
  },
];

function samplesOf(backends: readonly KnownBackend[], figureOf: FigureOf): readonly Sample[] {
  return backends.flatMap((backend) => {
    const value = figureOf(backend);
    return value === null ? [] : [{ labels: labelsOf(backend), value }];
  });
}

function labelsOf({ backendId, pool }: KnownBackend): Sample['labels'] {
  return { backend: backendId, pool };
}
