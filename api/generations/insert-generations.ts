import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import { addEntries, lockBalance } from '../../activities/database/credits.js';
import type { HeldCredits } from '../../activities/database/credits.js';
import { lockInputs } from '../../activities/database/lock-input.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { GenerationInput } from '../../workflows/contracts/generation.js';
import { gpuTaskQueue } from '../../workflows/contracts/task-queues.js';
import type { Correction } from '../../workflows/domain/correct-graph.js';
import { ProblemError } from '../problem-error.js';

export interface GenerationFile {
  readonly sha256: string;
  readonly objectKey: string;
}

/** A place in a batch. */
export interface BatchPlace {
  readonly batchId: string;
  readonly index: number;
}

/** A generation of which everything is decided but the moment. */
export interface NewGeneration {
  readonly input: Omit<GenerationInput, 'acceptedAtMs'>;
  /** Files that it is given, which are kept for as long as it needs them. */
  readonly inputs: readonly GenerationFile[];
  /** What it costs its account; `null`: nothing. */
  readonly credits: number | null;
  readonly priority: number;
  readonly asked: Readonly<Record<string, unknown>>;
  readonly corrections: readonly Correction[];
  readonly metadata: Readonly<Record<string, unknown>>;
  /** The generation that this one repeats. */
  readonly retryOf: string | null;
}

export interface PlacedGeneration extends NewGeneration {
  readonly place: BatchPlace | null;
}

/** One statement takes this many: the text of its parameter stays at a few megabytes. */
const ROWS_AT_ONCE = 1_000;

/** Rows and their first events. */
export async function insertGenerations(
  transaction: Transaction<DatabaseSchema>,
  ...[generations, now]: [readonly PlacedGeneration[], Date]
): Promise<void> {
  for (let start = 0; start < generations.length; start += ROWS_AT_ONCE) {
    const rows = generations.slice(start, start + ROWS_AT_ONCE).map((generation) => rowOf(generation, now));
    await sql`
      WITH accepted AS (
        INSERT INTO generations (id, account_id, template, graph_key, priority, retry_of, credits, batch_id, batch_index,
                                 asked, corrections, metadata, workflow_input, claim_queue, claim_models, provider, event_sequence)
        SELECT id, account_id, template, graph_key, priority, retry_of, credits, batch_id, batch_index,
               asked, corrections, metadata, workflow_input, claim_queue, claim_models, provider, 1
          FROM jsonb_to_recordset(${JSON.stringify(rows)}) AS given (
                 id text, account_id text, template text, graph_key text, priority smallint, retry_of text,
                 credits integer, batch_id text, batch_index integer, asked jsonb, corrections jsonb, metadata jsonb,
                 workflow_input jsonb, claim_queue text, claim_models jsonb, provider text)
        RETURNING id
      )
      INSERT INTO generation_events (generation_id, sequence, type, data)
      SELECT id, 1, 'accepted', '{"status": "QUEUED"}' FROM accepted`.execute(transaction);
  }
}

function rowOf({ input, place, ...generation }: PlacedGeneration, now: Date) {
  const { priority, retryOf, credits, asked, corrections, metadata } = generation;
  const workflowInput: GenerationInput = { ...input, acceptedAtMs: now.getTime() };
  const { pool, models = [], provider } = input;
  return {
    ...{ id: input.generationId, account_id: input.accountId, template: input.template, graph_key: input.graph.key },
    ...{ priority, retry_of: retryOf, credits, asked, corrections, metadata, workflow_input: workflowInput },
    ...{ batch_id: place?.batchId ?? null, batch_index: place?.index ?? null },
    ...{ claim_queue: provider === 'fal' ? null : gpuTaskQueue(pool, models), claim_models: models },
    provider: provider === 'fal' ? 'fal' : 'comfyui',
  };
}

/** Keeps the files of generations; throws `input_gone` when one of them was removed. */
export async function useInputs(
  transaction: Transaction<DatabaseSchema>,
  generations: readonly NewGeneration[],
): Promise<void> {
  const uses = generations.flatMap(({ input: { generationId }, inputs }) =>
    inputs.map(({ sha256, objectKey }) => ({ generation_id: generationId, sha256, object_key: objectKey })),
  );
  if (uses.length === 0) return;
  const keys = new Map(uses.map(({ sha256, object_key: objectKey }) => [sha256, objectKey]));
  await lockInputs(transaction, [...keys.keys()]);
  const used = await transaction
    .updateTable('uploads')
    .set({ used_at: sql<Date>`now()` })
    .where(sql<boolean>`sha256 = ANY(${[...keys.keys()]})`)
    .returning('sha256')
    .execute();
  for (const { sha256 } of used) if (sha256 !== null) keys.delete(sha256);
  const [gone] = keys.values();
  if (gone !== undefined) throw new ProblemError('input_gone', `The file ${gone} has been removed.`);
  await sql`
    INSERT INTO generation_inputs (generation_id, sha256, object_key)
    SELECT DISTINCT generation_id, sha256, object_key
      FROM jsonb_to_recordset(${JSON.stringify(uses)}) AS use (generation_id text, sha256 text, object_key text)
  `.execute(transaction);
}

/**
 * Sets credits aside for all of them or for none. Last, because it holds the account until COMMIT: the next request of the
 * same account waits for no more than that.
 */
export async function holdCredits(
  transaction: Transaction<DatabaseSchema>,
  ...[accountId, generations]: [string, readonly NewGeneration[]]
): Promise<void> {
  const held = generations.flatMap(({ input: { generationId }, credits }): HeldCredits[] =>
    credits === null ? [] : [{ generationId, credits }],
  );
  if (held.length === 0) return;
  const balance = await lockBalance(transaction, accountId);
  if (balance === null) {
    const places = [{ pointer: '/account', message: `there is no account "${accountId}"` }];
    throw new ProblemError('unknown_account', `There is no account "${accountId}".`, { places });
  }
  const credits = held.reduce((sum, each) => sum + each.credits, 0);
  const missing = credits - balance.credits;
  if (missing > 0) {
    const has = `the balance of account "${accountId}" is ${balance.credits}`;
    const detail = `Its price in credits is ${credits}, and ${has}: ${missing} too few.`;
    throw new ProblemError('insufficient_credits', detail);
  }
  await addEntries(transaction, accountId, balance, { kind: 'hold', of: held });
}
