import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';

/** Activities before, in the middle of and after which a worker can be made to die. */
export const CRASHABLE_ACTIVITIES = [
  'discoverBackend',
  'submitPrompt',
  'awaitCompletion',
  'stopPrompt',
  'downloadOutputs',
  'validateOutputs',
  'uploadOutputs',
  'recordProgress',
  'recordOutcome',
  'freeMemory',
  'adaptGraph',
  'reserveFal',
  'submitToFal',
  'closeGates',
  'cancelOpenGenerations',
  'reopenService',
  'removeOldFiles',
  'removeExpiredOutputs',
  'removeOldUploads',
] as const;

/** `before` its effect; `mid`: the effect is done and not yet recorded, the moment that matters; `after`: recorded. */
export const CRASH_POINTS = [
  ...CRASHABLE_ACTIVITIES.flatMap((name) => [`${name}.before`, `${name}.mid`, `${name}.after`] as const),
  'acceptGeneration.before', // in the API: before the transaction, and between its COMMIT and the answer
  'acceptGeneration.mid',
  'acceptBatch.before', // the same of a batch
  'acceptBatch.mid',
  'relayStart.before', // in the outbox relay: Temporal knows, the row is still there
  'relayStart.mid',
  'relayCancel.before',
  'relayCancel.mid',
] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

/** SIGKILL leaves no time for cleaning up; SIGSTOP makes a process that is late rather than dead. */
const CRASH_SIGNALS = ['SIGKILL', 'SIGSTOP'] as const;

interface ArmedCrash {
  readonly point: CrashPoint;
  readonly signal: (typeof CRASH_SIGNALS)[number];
  /** Passes that are still to come, the fatal one included. */
  passes: number;
}

// Module state, because a point in the middle of an activity is reached from everywhere and armed for the whole process.
let armed: ArmedCrash | null = null;

/**
 * Arms the crash that `CRASH_AT` names, for tests of what survives: `uploadOutputs.mid:2` kills this process with SIGKILL
 * when it passes that point for the second time, `uploadOutputs.mid:1:SIGSTOP` stops it there. Unset, nothing is armed.
 */
export function armCrashPoint(env: Env): void {
  const text = stringFrom(env, 'CRASH_AT', '');
  if (text === '') return;
  const [name, count = '1', signalName = 'SIGKILL', ...rest] = text.split(':');
  const point = CRASH_POINTS.find((known) => known === name);
  const signal = CRASH_SIGNALS.find((known) => known === signalName);
  if (point === undefined || signal === undefined || rest.length > 0 || !/^[1-9]\d{0,5}$/.test(count)) {
    throw new ConfigError(
      `CRASH_AT is "${text}", but must be point[:count[:signal]] with a signal of ${CRASH_SIGNALS.join(', ')} ` +
        `and a point of ${CRASH_POINTS.join(', ')}`,
    );
  }
  armed = { point, signal, passes: Number(count) };
}

/** True when this process is to die somewhere. */
export function isCrashArmed(): boolean {
  return armed !== null;
}

/** Dies here when this is the armed point and its turn has come; costs a comparison otherwise. */
export function crashPoint(point: CrashPoint): void {
  if (armed?.point !== point) return;
  armed.passes -= 1;
  if (armed.passes > 0) return;
  const { signal } = armed;
  armed = null; // a stopped process goes on here
  process.kill(process.pid, signal);
}
