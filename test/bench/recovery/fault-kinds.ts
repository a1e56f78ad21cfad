import { isRecoverable, neededGib } from './oracle.js';
import type { Expectation } from './judge.js';
import { damageFile, freezeComfyui, interruptPrompt, killWorker } from './disturbances.js';
import type { Disturbance } from './disturbances.js';

/** One request, and what goes wrong with it. */
export interface FaultCase extends Expectation {
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly recovery?: object;
  /** For the simulators: at the first prompt of the generation alone. */
  readonly atFirstPrompt: readonly object[];
  /** For the simulators, whatever they are asked. */
  readonly everywhere: readonly object[];
  /** Size of both cards, in GiB; `null`: there is always enough. */
  readonly cardGib: number | null;
  /** What no simulator does to itself. */
  readonly disturb: Disturbance | null;
  readonly ruinsPictures: number;
  /** Its backend is left alone until its ComfyUI is restarted. */
  readonly isQuarantined: boolean;
}

export interface FaultKind {
  readonly name: string;
  readonly draw: (random: () => number) => FaultCase;
}

const NODES = ['CheckpointLoaderSimple', 'CLIPTextEncode', 'KSampler', 'VAEDecode', 'SaveImage'];
const GPU_NODES = ['CLIPTextEncode', 'KSampler', 'VAEDecode'];
const CHECKPOINT = 'v1-5-pruned-emaonly.safetensors';
/** What is asked for, where a fault needs nothing else. */
export const SMALL = { width: 64, height: 64, steps: 20, batch_size: 1 };
/** Long enough that something can be done while it samples. */
const LONG = { ...SMALL, steps: 150 };

const PLAIN: FaultCase = {
  ...{ failure: null, mayChange: [], resumesFromCache: false },
  ...{ parameters: SMALL, atFirstPrompt: [], everywhere: [], cardGib: null, disturb: null },
  ...{ ruinsPictures: 0, isQuarantined: false },
};

/** In the order in which they are reported. */
export const FAULT_KINDS: readonly FaultKind[] = [
  { name: 'cuda_oom', draw: outOfMemory },
  { name: 'network', draw: network },
  { name: 'model_missing', draw: modelMissing },
  {
    name: 'crash',
    draw: (random) => ({ ...PLAIN, atFirstPrompt: [{ kind: 'crash', nodeType: oneOf(NODES, random) }] }),
  },
  { name: 'vanish', draw: vanish },
  {
    name: 'timeout',
    draw: (random) => ({
      ...PLAIN,
      resumesFromCache: true,
      // 20 steps of 0.01 s: 10 to 20 s
      atFirstPrompt: [{ kind: 'slow', nodeType: 'KSampler', factor: 50 + 50 * random() }],
    }),
  },
  { name: 'hang', draw: (random) => quarantined('hang', oneOf(NODES, random)) },
  { name: 'zombie', draw: (random) => quarantined('zombie', oneOf(NODES, random)) },
  { name: 'poison', draw: (random) => quarantined('poison', oneOf(GPU_NODES, random)) },
  { name: 'worker_killed', draw: (random) => ({ ...PLAIN, parameters: LONG, disturb: killWorker(random) }) },
  { name: 'interrupted', draw: (random) => ({ ...PLAIN, parameters: LONG, disturb: interruptPrompt(random) }) },
  { name: 'damaged_output', draw: damagedOutput },
  { name: 'host_oom', draw: () => atFirst('host_oom') },
  { name: 'environment', draw: () => atFirst('environment') },
  { name: 'model_corrupt', draw: () => atFirst('model_corrupt') },
  { name: 'disk_full', draw: () => ({ ...atFirst('disk_full'), failure: 'DISK_FULL' }) },
  { name: 'no_face', draw: () => ({ ...atFirst('no_face'), failure: 'NO_FACE' }) },
  { name: 'workflow_error', draw: workflowError },
];

/** The card is so large that the request asks for half of it to three times as much. */
function outOfMemory(random: () => number): FaultCase {
  const edge = () => 512 + 8 * Math.floor(random() * 65);
  const request = {
    widthPx: edge(),
    heightPx: edge(),
    batchSize: 1 + Math.floor(random() * 4),
    isStrict: random() < 0.2,
  };
  const cardGib = neededGib(request) / (0.5 + 2.5 * random());
  return {
    ...PLAIN,
    cardGib,
    failure: isRecoverable(request, cardGib) ? null : 'CUDA_OOM',
    mayChange: request.isStrict ? [] : ['width', 'height', 'steps'],
    parameters: { width: request.widthPx, height: request.heightPx, batch_size: request.batchSize, steps: 20 },
    recovery: { strict: request.isStrict },
  };
}

/** At the submission, while it renders, at the download. */
function network(random: () => number): FaultCase {
  const durationMs = Math.round(300 + 5_700 * random());
  const whileItRenders: FaultCase = { ...PLAIN, parameters: LONG };
  const draws: readonly (() => FaultCase)[] = [
    () => ({ ...whileItRenders, atFirstPrompt: [{ kind: 'outage', nodeType: oneOf(NODES, random), durationMs }] }),
    () => ({ ...whileItRenders, disturb: freezeComfyui(random, durationMs) }),
    () => ({
      ...PLAIN,
      everywhere: [{ kind: 'login_page', path: '/prompt', method: 'POST', durationMs, count: 1_000 }],
    }),
    () => ({ ...whileItRenders, everywhere: [{ kind: 'login_page', durationMs, count: 1_000 }] }),
    () => ({ ...PLAIN, everywhere: [{ kind: 'login_page', path: '/view', durationMs, count: 1_000 }] }),
    () => ({ ...whileItRenders, everywhere: [{ kind: 'unauthorized', durationMs, count: 1_000 }] }),
    () => ({ ...PLAIN, everywhere: [{ kind: 'slow_rest', path: '/view', delayMs: durationMs }] }),
  ];
  return oneOf(draws, random)();
}

/** On one backend; or on both, with a model that may stand in for it, or with none. */
function modelMissing(random: () => number): FaultCase {
  const removed = { kind: 'model_removed', filename: CHECKPOINT };
  const onBoth = { ...PLAIN, everywhere: [removed] };
  const draws: readonly FaultCase[] = [
    { ...PLAIN, atFirstPrompt: [removed] },
    { ...onBoth, mayChange: ['model'] },
    { ...onBoth, recovery: { models: ['sd_xl_refiner_1.0.safetensors'] }, mayChange: ['model'] },
    { ...onBoth, recovery: { models: [] }, failure: 'MODEL_MISSING' },
    { ...onBoth, recovery: { strict: true }, failure: 'MODEL_MISSING' },
  ];
  return oneOf(draws, random);
}

/** For good, or for less than the 34 s for which R2.5 looks for it. */
function vanish(random: () => number): FaultCase {
  const forGood = { kind: 'vanish', nodeType: oneOf(NODES, random) };
  const forAWhile = { ...forGood, returnsAfterMs: Math.round(1_000 + 19_000 * random()) };
  return { ...PLAIN, atFirstPrompt: [random() < 0.5 ? forGood : forAWhile] };
}

function quarantined(kind: string, nodeType: string): FaultCase {
  return { ...PLAIN, isQuarantined: true, atFirstPrompt: [{ kind, nodeType }] };
}

function damagedOutput(random: () => number): FaultCase {
  return {
    ...PLAIN,
    everywhere: [{ kind: 'slow_rest', path: '/view', delayMs: 1_000, count: 1_000 }],
    disturb: damageFile(random),
    ruinsPictures: 1,
  };
}

function atFirst(kind: string): FaultCase {
  return { ...PLAIN, atFirstPrompt: [{ kind }] };
}

function workflowError(random: () => number): FaultCase {
  const texts = [
    'mat1 and mat2 shapes cannot be multiplied (8x64 and 128x3)',
    "'NoneType' object has no attribute 'shape'",
  ];
  const exceptionMessage = oneOf(texts, random);
  const fault = { kind: 'node_error', nodeType: oneOf(NODES, random), exceptionType: 'RuntimeError', exceptionMessage };
  return { ...PLAIN, failure: 'WORKFLOW_ERROR', atFirstPrompt: [fault] };
}

function oneOf<T>(choices: readonly T[], random: () => number): T {
  const chosen = choices[Math.floor(random() * choices.length)];
  if (chosen === undefined) throw new Error('There is nothing to choose from');
  return chosen;
}
