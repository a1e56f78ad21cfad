import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { OptionError } from '../shared/option-error.js';

export interface FalOptions {
  readonly host: string;
  readonly port: number;
  /** Holds requests/, files/ and journal.jsonl. */
  readonly dataDir: string;
  /** Wall time of one request on a runner. */
  readonly seconds: number;
  /** Requests that run at once; the others wait in the queue. */
  readonly runners: number;
  /** The one key that is accepted. */
  readonly key: string;
}

/** What a test or a demonstration sets `FAL_KEY` to. */
export const SIMULATOR_KEY = 'simulator:only-for-tests';

export const FLAGS = {
  host: { type: 'string', default: '127.0.0.1', help: 'address to listen on' },
  port: { type: 'string', default: '8290', help: '0 = any free one' },
  'data-dir': { type: 'string', default: '.data/fal-simulator', help: 'requests/, files/ and journal.jsonl' },
  seconds: { type: 'string', default: '0.5', help: 'wall time of one request on a runner' },
  runners: { type: 'string', default: '1', help: 'requests that run at once; the others wait in the queue' },
  key: { type: 'string', default: SIMULATOR_KEY, help: 'the one key that is accepted: what FAL_KEY must be' },
} as const;

type FlagValues = Readonly<Record<keyof typeof FLAGS, string>>;

/** Reads the command line; throws OptionError at the first option that cannot be used. */
export function falOptionsFrom(args: readonly string[]): FalOptions {
  const values = parsed(args);
  return {
    host: values.host,
    port: numberOf(values, 'port', { min: 0, max: 65_535, isWhole: true }),
    dataDir: resolve(values['data-dir']),
    seconds: numberOf(values, 'seconds', { min: 0, max: 3_600, isWhole: false }),
    runners: numberOf(values, 'runners', { min: 1, max: 1_000, isWhole: true }),
    key: values.key,
  };
}

function parsed(args: readonly string[]): FlagValues {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: false }).values;
  } catch (error) {
    const known = Object.keys(FLAGS).map((name) => `--${name}`);
    const message = error instanceof Error ? error.message : String(error);
    throw new OptionError(`${message} Options: ${known.join(', ')}`, { cause: error });
  }
}

function numberOf(
  values: FlagValues,
  name: keyof typeof FLAGS,
  range: { readonly min: number; readonly max: number; readonly isWhole: boolean },
): number {
  const value = Number(values[name]);
  const isInRange = values[name].trim() !== '' && value >= range.min && value <= range.max;
  if (isInRange && (!range.isWhole || Number.isInteger(value))) return value;
  const what = range.isWhole ? 'a whole number' : 'a number';
  throw new OptionError(`--${name} is "${values[name]}", but must be ${what} from ${range.min} to ${range.max}`);
}
