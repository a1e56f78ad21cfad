import { setTimeout as sleep } from 'node:timers/promises';
import { cancellationSignal, log } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import { emergencyOverSignal, emergencyStopSignal } from '../../workflows/contracts/backend.js';
import type {
  EmergencyStopActivities,
  StopReference,
  StoppedBackend,
  StoppedGenerations,
} from '../../workflows/contracts/emergency-stop.js';
import { cancelAll } from '../database/cancel-generation.js';
import { closeIntake } from '../database/intake.js';
import { toApplicationFailure } from '../failures/to-application-failure.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import { forEachBackend, stoppedBackends } from './backend-states.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';

export interface EmergencyStopDeps {
  readonly database: Database;
  readonly client: Client;
}

const LOOK_MS = 500;
/** A worker that does not answer by then is hung or cut off; what is open is cancelled all the same. */
const GATES_MS = 30_000;
/** A cancelled generation frees its GPU within 20 s, or its backend is away. */
const CANCEL_MS = 120_000;
/** A node that cannot be interrupted keeps its GPU for as long as it takes. */
const IDLE_MS = 60_000;
/** In one transaction. */
const CANCELS_AT_ONCE = 500;
/** Ids in the report. */
const MAX_NAMED = 100;

/** What an emergency stop does, each step safe to repeat. */
export function createEmergencyStop(deps: EmergencyStopDeps): EmergencyStopActivities {
  const { database, client } = deps;
  return {
    closeIntake: step(async ({ reason }) => closeIntake(database, reason)),
    closeGates: step(async ({ reason }) => {
      await tellBackends(client, async (handle) => handle.signal(emergencyStopSignal, reason));
      crashPoint('closeGates.mid');
      return backendsOnce(client, GATES_MS, ({ gate }) => gate !== 'unacknowledged');
    }),
    cancelOpenGenerations: step(async (stop) => cancelOpen(database, stop)),
    confirmIdle: step(async () =>
      backendsOnce(client, IDLE_MS, ({ isIdle, gate }) => isIdle === true || gate === 'no_worker'),
    ),
    recordEmergencyStop: step(async ({ stopId, report }) => {
      await database
        .updateTable('emergency_stops')
        .set({ report: JSON.stringify(report), completed_at: sql<Date>`now()` })
        .where('id', '=', stopId)
        .execute();
    }),
    reopenService: step(async ({ stopId }) => {
      await tellBackends(client, async (handle) => handle.signal(emergencyOverSignal));
      crashPoint('reopenService.mid');
      await database
        .updateTable('emergency_stops')
        .set({ resumed_at: sql<Date>`now()` })
        .where('id', '=', stopId)
        .where('resumed_at', 'is', null)
        .execute();
    }),
  };
}

function step<Input extends readonly unknown[], Result>(
  work: (...input: Input) => Promise<Result>,
): (...input: Input) => Promise<Result> {
  return async (...input) => {
    try {
      return await heartbeatWhile(async () => work(...input));
    } catch (error) {
      cancellationSignal().throwIfAborted();
      throw toApplicationFailure(error, { retryUnexpected: true });
    }
  };
}

type Handle = ReturnType<Client['workflow']['getHandle']>;

async function tellBackends(client: Client, tell: (handle: Handle) => Promise<void>): Promise<void> {
  await forEachBackend(client, async (workflowId) => {
    try {
      await tell(client.workflow.getHandle(workflowId));
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error; // it has ended since it was listed
    }
  });
}

/** The backends as soon as all of them are as wanted, or as they are when the time is over. */
async function backendsOnce(
  client: Client,
  ...[withinMs, isAsWanted]: [number, (backend: StoppedBackend) => boolean]
): Promise<readonly StoppedBackend[]> {
  const signal = cancellationSignal();
  const deadline = performance.now() + withinMs;
  for (;;) {
    const backends = await stoppedBackends(client);
    if (backends.every(isAsWanted) || performance.now() > deadline) return backends;
    await sleep(LOOK_MS, undefined, { signal });
  }
}

async function cancelOpen(database: Database, stop: StopReference): Promise<StoppedGenerations> {
  const signal = cancellationSignal();
  const deadline = performance.now() + CANCEL_MS;
  const facts = { emergencyStop: stop.stopId, reason: stop.reason };
  let emptyLists = 0;
  for (;;) {
    const open = await openIds(database);
    emptyLists = open.length === 0 ? emptyLists + 1 : 0;
    if (emptyLists === 2 || performance.now() > deadline) {
      if (open.length > 0) log.warn('Generations have not ended after the emergency stop', { count: open.length });
      return { cancelled: await cancelledBy(database, stop), stillOpen: open.slice(0, MAX_NAMED) };
    }
    for (let start = 0; start < open.length && !signal.aborted; start += CANCELS_AT_ONCE) {
      await cancelAll(database, open.slice(start, start + CANCELS_AT_ONCE), facts);
      crashPoint('cancelOpenGenerations.mid');
    }
    await sleep(LOOK_MS, undefined, { signal });
  }
}

async function openIds(database: Database): Promise<readonly string[]> {
  const rows = await database
    .selectFrom('generations')
    .select('id')
    .where('finished_at', 'is', null)
    .orderBy('created_at')
    .execute();
  return rows.map(({ id }) => id);
}

/** From the log of the generations: what an earlier attempt of this activity has cancelled counts as well. */
async function cancelledBy(database: Database, { stopId }: StopReference): Promise<number> {
  const { count } = await database
    .selectFrom('generations')
    .innerJoin('generation_events', 'generation_events.generation_id', 'generations.id')
    .innerJoin('emergency_stops', (join) => join.on('emergency_stops.id', '=', stopId))
    .where('generations.status', '=', 'CANCELLED')
    .whereRef('generations.cancel_requested_at', '>=', 'emergency_stops.requested_at')
    .where(sql<boolean>`generation_events.data ->> 'emergencyStop' = ${stopId}`)
    .select((eb) => eb.fn.count<string>('generations.id').distinct().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}
