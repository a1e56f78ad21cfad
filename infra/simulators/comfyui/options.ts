import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { OptionError } from '../shared/option-error.js';
import { scheduleFrom } from './faults/fault-schedule.js';
import type { ScheduleOptions } from './faults/fault-schedule.js';
import { defaultVersion, serverVersions } from './server-versions.js';
import type { CacheKind, ServerVersion } from './server-versions.js';

/** `default`: what this version does without a flag. */
const CACHES = ['default', 'classic', 'lru', 'ram', 'none'] as const;
const DEVICES = ['cpu', 'cuda'] as const;
/** Also of POST /simulator/vram. */
export const VRAM_RANGE_GIB = { min: 0.1, max: 10_000 } as const;
const CATALOGUES = ['full', 'recorded'] as const;

export interface SimulatorOptions {
  readonly host: string;
  readonly port: number;
  /** Holds output/, input/, temp/ and journal.jsonl. */
  readonly dataDir: string;
  /** Wall time of one sampling step; 0 = as fast as possible. */
  readonly secondsPerStep: number;
  readonly cache: CacheKind;
  readonly device: (typeof DEVICES)[number];
  /** `null`: there is always enough. */
  readonly vramGib: number | null;
  /** Between `execution_success` and the history write: real servers took up to 300 ms. */
  readonly historyDelayMs: number;
  /** Limit of every request body, as ComfyUI's --max-upload-size. */
  readonly maxUploadMb: number;
  /** `recorded`: exactly the recorded server's classes and models, without what was added for our graphs. */
  readonly catalogue: (typeof CATALOGUES)[number];
  /** Model files and node classes that this server does not have. */
  readonly without: readonly string[];
  /** Which ComfyUI this is: everything in which versions differ follows from it. */
  readonly version: ServerVersion;
  readonly faultSchedule: ScheduleOptions | null;
}

export const FLAGS = {
  host: { type: 'string', default: '127.0.0.1', help: 'address to listen on' },
  port: { type: 'string', default: '8188', help: '0 = any free one' },
  'data-dir': { type: 'string', default: '.data/simulator', help: 'output/, input/, temp/ and journal.jsonl' },
  'seconds-per-step': {
    type: 'string',
    default: '0.05',
    help: 'wall time of a sampling step; 0 = as fast as possible',
  },
  cache: { type: 'string', default: 'default', help: 'default, classic, lru, ram or none' },
  device: { type: 'string', default: 'cpu', help: 'what /system_stats says: cpu or cuda' },
  'vram-gib': {
    type: 'string',
    default: '',
    help: 'memory of the card: sampling needs 4 + 1.5 × batch × megapixels GiB, VAEDecode 1 + 4 × megapixels, VAEDecodeTiled that of one tile; without it there is always enough',
  },
  'history-delay-ms': { type: 'string', default: '5', help: 'between execution_success and the history' },
  'max-upload-size': { type: 'string', default: '100', help: 'MB of a request body' },
  catalogue: { type: 'string', default: 'full', help: 'full, or recorded: only the recorded classes and models' },
  without: { type: 'string', default: '', help: 'model files and node classes that it lacks, separated by commas' },
  version: { type: 'string', default: defaultVersion.number, help: 'which ComfyUI this is' },
  'fault-schedule': {
    type: 'string',
    default: '',
    help: '"seed=7,rate=0.05,kinds=oom+crash": so many prompts, drawn with the seed, meet one of these faults',
  },
} as const;

type FlagValues = Readonly<Record<keyof typeof FLAGS, string>>;

/** Reads the command line; throws OptionError at the first option that cannot be used. */
export function simulatorOptionsFrom(args: readonly string[]): SimulatorOptions {
  const values = parsed(args);
  const port = numberOf(values, 'port', { min: 0, max: 65_535 });
  if (!Number.isInteger(port)) throw new OptionError(`--port is "${values.port}", but must be a whole number`);
  const version = versionOf(values);
  return {
    host: values.host,
    port,
    dataDir: resolve(values['data-dir']),
    secondsPerStep: numberOf(values, 'seconds-per-step', { min: 0, max: 3_600 }),
    cache: cacheOf(values, version),
    device: choiceOf(values, 'device', DEVICES),
    vramGib: values['vram-gib'] === '' ? null : numberOf(values, 'vram-gib', VRAM_RANGE_GIB),
    historyDelayMs: numberOf(values, 'history-delay-ms', { min: 0, max: 600_000 }),
    maxUploadMb: numberOf(values, 'max-upload-size', { min: 0.001, max: 100_000 }),
    catalogue: choiceOf(values, 'catalogue', CATALOGUES),
    without: values.without.split(',').filter((name) => name !== ''),
    version,
    faultSchedule: scheduleOf(values),
  };
}

function scheduleOf(values: FlagValues): ScheduleOptions | null {
  const text = values['fault-schedule'];
  if (text === '') return null;
  const schedule = scheduleFrom(text);
  if (typeof schedule === 'string') throw new OptionError(`--fault-schedule is "${text}", but ${schedule}`);
  return schedule;
}

function versionOf(values: FlagValues): ServerVersion {
  const numbers = serverVersions.map(({ number }) => number);
  const chosen = choiceOf(values, 'version', numbers);
  return serverVersions.find(({ number }) => number === chosen) ?? defaultVersion;
}

function cacheOf(values: FlagValues, version: ServerVersion): CacheKind {
  const chosen = choiceOf(values, 'cache', CACHES);
  if (chosen === 'ram' && !version.hasRamCache) {
    throw new OptionError(`--cache is "ram", but ComfyUI ${version.number} has no such cache: it came with 0.3.68`);
  }
  return chosen === 'default' ? version.defaultCache : chosen;
}

function parsed(args: readonly string[]): FlagValues {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: false }).values;
  } catch (error) {
    const known = Object.keys(FLAGS).map((name) => `--${name}`);
    throw new OptionError(`${messageOf(error)} Options: ${known.join(', ')}`, { cause: error });
  }
}

function numberOf(
  values: FlagValues,
  name: keyof typeof FLAGS,
  range: { readonly min: number; readonly max: number },
): number {
  const value = Number(values[name]);
  if (values[name].trim() !== '' && value >= range.min && value <= range.max) return value;
  throw new OptionError(`--${name} is "${values[name]}", but must be a number from ${range.min} to ${range.max}`);
}

function choiceOf<T extends string>(values: FlagValues, name: keyof typeof FLAGS, choices: readonly T[]): T {
  const choice = choices.find((each) => each === values[name]);
  if (choice !== undefined) return choice;
  throw new OptionError(`--${name} is "${values[name]}", but must be one of: ${choices.join(', ')}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
