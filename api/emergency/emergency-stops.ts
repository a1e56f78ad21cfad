import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Selectable } from 'kysely';
import { closeIntake, stopInForce } from '../../activities/database/intake.js';
import type { Database } from '../../infra/postgres/database.js';
import type { EmergencyStopsTable } from '../../infra/postgres/database-schema.js';
import { EMERGENCY_STOP, emergencyStopOptions, resumeServiceSignal } from '../../workflows/contracts/emergency-stop.js';
import type { emergencyStop } from '../../workflows/emergency-stop.js';
import { ProblemError } from '../problem-error.js';
import type { EmergencyStopView } from '../schemas/emergency-stop.js';

export interface EmergencyStops {
  /** Stops everything; resolves with the report, or with what is known after half a minute. */
  stop(reason: string): Promise<EmergencyStopView>;
  /** Ends the stop; resolves when requests are accepted again, or after ten seconds. */
  resume(): Promise<EmergencyStopView>;
  read(): Promise<EmergencyStopView>;
}

const KEEPS_REASON = 'An emergency stop was in force already; it goes on, under the reason that it has.';
const TELL_MS = 4_000;
const REPORT_MS = 30_000;
const RESUME_MS = 10_000;
const LOOK_MS = 200;

export function createEmergencyStops(deps: { readonly database: Database; readonly temporal: Client }): EmergencyStops {
  const { database, temporal } = deps;
  const inForce = async () => (await stopInForce(database).executeTakeFirst()) ?? null;
  const read = async (): Promise<EmergencyStopView> => viewOf(await inForce());
  const until = async (isDone: (view: EmergencyStopView) => boolean, withinMs: number): Promise<EmergencyStopView> => {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const view = await read();
      if (isDone(view) || performance.now() > deadline) return view;
      await sleep(LOOK_MS);
    }
  };

  return {
    async stop(reason) {
      const stop = await closeIntake(database, reason);
      try {
        await temporal.withDeadline(Date.now() + TELL_MS, async () =>
          temporal.workflow.start<typeof emergencyStop>(EMERGENCY_STOP, emergencyStopOptions(stop.reason)),
        );
      } catch (error) {
        throw untold('Nothing is accepted any more. What is open is cancelled as soon as Temporal answers', error);
      }
      const view = await until(({ completedAt }) => completedAt !== null, REPORT_MS);
      return stop.reason === reason ? view : { ...view, note: KEEPS_REASON };
    },
    async resume() {
      const stop = await inForce();
      if (stop === null) return viewOf(null);
      try {
        await temporal.withDeadline(Date.now() + TELL_MS, async () =>
          temporal.workflow.signalWithStart<typeof emergencyStop, []>(EMERGENCY_STOP, {
            ...emergencyStopOptions(stop.reason),
            signal: resumeServiceSignal,
          }),
        );
      } catch (error) {
        throw untold('The service is still stopped', error);
      }
      return until(({ isStopped }) => !isStopped, RESUME_MS);
    },
    read,
  };
}

function untold(state: string, cause: unknown): ProblemError {
  return new ProblemError('temporal_unavailable', `${state}.`, { headers: { 'Retry-After': '5' }, cause });
}

function viewOf(stop: Selectable<EmergencyStopsTable> | null): EmergencyStopView {
  if (stop === null) return { isStopped: false, reason: null, requestedAt: null, completedAt: null, report: null };
  return {
    isStopped: true,
    reason: stop.reason,
    requestedAt: stop.requested_at.toISOString(),
    completedAt: stop.completed_at?.toISOString() ?? null,
    report: stop.report,
  };
}
