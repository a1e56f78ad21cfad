import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import { stopInForce } from '../activities/database/intake.js';
import type { Database } from '../infra/postgres/database.js';
import type { DatabaseSchema } from '../infra/postgres/database-schema.js';
import { listenTo } from '../infra/postgres/notifications.js';
import type { Logger } from '../infra/runtime/logger.js';
import { GENERATE_MEDIA, TIMINGS_MEMO, generationWorkflowId } from '../workflows/contracts/generation.js';
import type { GenerationInput } from '../workflows/contracts/generation.js';
import { searchAttributeKeys } from '../workflows/contracts/search-attributes.js';
import { GENERATION_TASK_QUEUE } from '../workflows/contracts/task-queues.js';
import type { WorkerTimings } from '../workflows/domain/worker-timings.js';
import type { generateMedia } from '../workflows/generate-media.js';
import { Bell } from '../infra/runtime/bell.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface OutboxRelayOptions {
  readonly database: Database;
  readonly databaseUrl: string;
  readonly client: Client;
  readonly logger: Logger;
  readonly searchAttributes: boolean;
  /** A generation keeps the timings that it is started with. */
  readonly timings: WorkerTimings;
  /** Called when a generation waits in Temporal from now on. */
  readonly onStarted: () => void;
}

/** A row whose notification was lost, or whose turn came again after a failure, is found after this long. */
const SAFETY_LOOK_MS = 1_000;
/** One lane is enough for what nobody tells of; the others help where much is due at once, as after an outage. */
const OTHERS_LOOK_MS = 5_000;
/** Rows that are told to Temporal at the same time; each holds one database connection meanwhile. */
const LANES = 4;
/** Below the limit of a transaction that idles: the row is locked while Temporal answers. */
const TEMPORAL_DEADLINE_MS = 5_000;
const MAX_BACK_OFF_SECONDS = 30;

/**
 * Tells Temporal what was committed: every accepted generation gets its Workflow, every cancel arrives, however long
 * Temporal was down; by priority, and in turns between accounts. A row is locked while it is told and deleted once Temporal knows; told twice is harmless.
 */
export function startOutboxRelay(options: OutboxRelayOptions): { stop(): Promise<void> } {
  const { databaseUrl, logger } = options;
  const bell = new Bell();
  const stopping = new AbortController();
  const listener = listenTo({
    url: databaseUrl,
    channel: 'outbox',
    logger,
    onNotification: () => bell.ring(),
    onConnected: () => bell.ring(),
  });
  const lanes = Array.from({ length: LANES }, async (_, index) => {
    const lookEveryMs = index === 0 ? SAFETY_LOOK_MS : OTHERS_LOOK_MS;
    await runLane(options, { bell, lookEveryMs, signal: stopping.signal });
  });
  return {
    async stop() {
      stopping.abort();
      await Promise.all([listener.close(), ...lanes]);
    },
  };
}

interface Lane {
  readonly bell: Bell;
  readonly lookEveryMs: number;
  readonly signal: AbortSignal;
}

async function runLane(options: OutboxRelayOptions, { bell, lookEveryMs, signal }: Lane): Promise<void> {
  while (!signal.aborted) {
    try {
      let found = await relayOne(options);
      const hasFound = found !== 'nothing';
      while (found === 'more' && !signal.aborted) found = await relayOne(options);
      if (hasFound) options.onStarted();
    } catch (error) {
      options.logger.warn({ err: error }, 'The outbox could not be read; trying again');
    }
    await bell.wait(lookEveryMs, signal);
  }
}

/** Tells the row whose turn it is, if any; says whether more are due, each told by somebody or not. */
async function relayOne(options: OutboxRelayOptions): Promise<'more' | 'last' | 'nothing'> {
  return options.database.transaction().execute(async (transaction) => {
    const row = await rowInTurn(transaction);
    if (row === undefined) return 'nothing';
    try {
      crashPoint(row.kind === 'start' ? 'relayStart.before' : 'relayCancel.before');
      if (row.kind === 'start') await startWorkflow(options, row);
      else await cancelWorkflow(options.client, row.generation_id, row.attempts);
      crashPoint(row.kind === 'start' ? 'relayStart.mid' : 'relayCancel.mid');
      await transaction.deleteFrom('outbox').where('id', '=', row.id).execute();
    } catch (error) {
      options.logger.warn(
        { err: error, generationId: row.generation_id, kind: row.kind },
        'Temporal could not be told yet',
      );
      const seconds = Math.min(MAX_BACK_OFF_SECONDS, 2 ** row.attempts);
      await transaction
        .updateTable('outbox')
        .set({ attempts: row.attempts + 1, next_attempt_at: sql<Date>`now() + make_interval(secs => ${seconds})` })
        .where('id', '=', row.id)
        .execute();
    }
    return row.has_more ? 'more' : 'last';
  });
}

/** The row alone is chosen first: inputs of Workflows are long, and thousands may wait. */
async function rowInTurn(transaction: Transaction<DatabaseSchema>) {
  const now = sql<Date>`now()`;
  return transaction
    .with('turn', (cte) =>
      cte
        .selectFrom('outbox')
        .selectAll()
        .where('next_attempt_at', '<=', now)
        // What was accepted before an emergency stop waits here for its cancel, or for the end of the stop.
        .where((eb) => eb.or([eb('kind', '=', 'cancel'), eb.not(eb.exists(stopInForce(transaction)))]))
        .orderBy('priority')
        .orderBy('turn')
        .orderBy('id')
        .limit(1)
        .forUpdate()
        .skipLocked(),
    )
    .selectFrom('turn')
    .innerJoin('generations', 'generations.id', 'turn.generation_id')
    .leftJoin('accounts', 'accounts.id', 'generations.account_id')
    .selectAll('turn')
    .select(['generations.workflow_input', 'generations.priority as priority_key', 'generations.batch_id'])
    .select('accounts.weight')
    .select((outer) => {
      const other = outer.selectFrom('outbox as other').where('other.next_attempt_at', '<=', now);
      return outer.exists(other.whereRef('other.id', '<>', 'turn.id').select('other.id')).as('has_more');
    })
    .executeTakeFirst();
}

interface StartRow {
  readonly generation_id: string;
  readonly workflow_input: GenerationInput;
  readonly priority_key: number;
  readonly flow: string;
  readonly weight: number | null;
  readonly batch_id: string | null;
  readonly created_at: Date;
}

async function startWorkflow({ client, searchAttributes, timings }: OutboxRelayOptions, row: StartRow): Promise<void> {
  const { generation_id: generationId, batch_id: batchId, weight } = row;
  // A batch waits here for as long as it must: its deadline for the first claim counts from when Temporal is told.
  const input =
    batchId === null ? row.workflow_input : { ...row.workflow_input, acceptedAtMs: row.created_at.getTime() };
  try {
    await client.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, async () =>
      client.workflow.start<typeof generateMedia>(GENERATE_MEDIA, {
        taskQueue: GENERATION_TASK_QUEUE,
        workflowId: generationWorkflowId(generationId),
        // Ids are never reused: with the default policy a second start after the end would be a second generation.
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'USE_EXISTING',
        args: [input],
        priority: {
          priorityKey: row.priority_key,
          fairnessKey: row.flow,
          ...(weight !== null && { fairnessWeight: weight }),
        },
        memo: { [TIMINGS_MEMO]: timings },
        staticSummary: input.template,
        ...(searchAttributes && { typedSearchAttributes: attributesOf(input, batchId) }),
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error; // an earlier try has told it
  }
}

function attributesOf(input: GenerationInput, batchId: string | null) {
  return [
    { key: searchAttributeKeys.generationStatus, value: 'QUEUED' },
    { key: searchAttributeKeys.template, value: input.template },
    { key: searchAttributeKeys.accountId, value: input.accountId },
    { key: searchAttributeKeys.provider, value: 'comfyui' },
    ...(batchId === null ? [] : [{ key: searchAttributeKeys.batchId, value: batchId }]),
  ];
}

/** A start whose answer was late may still arrive: a Workflow that is not there is asked for this often. */
const CANCEL_ROUNDS = 2;

async function cancelWorkflow(client: Client, generationId: string, attempts: number): Promise<void> {
  try {
    await client.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, async () =>
      client.workflow.getHandle(generationWorkflowId(generationId)).cancel(),
    );
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError) || attempts < CANCEL_ROUNDS) throw error;
  }
}
