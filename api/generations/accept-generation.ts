import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { canonicalSha256 } from '../../activities/storage/canonical-json.js';
import { storeGraph } from '../../activities/storage/graph-documents.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { appendEvent } from '../../activities/database/append-event.js';
import type { Database } from '../../infra/postgres/database.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { GenerationInput, GraphReference } from '../../workflows/contracts/generation.js';
import type { RecoveryPolicy } from '../../workflows/domain/recovery-policy.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import { fleetState } from '../backends/fleet-state.js';
import type { FleetState } from '../backends/fleet-state.js';
import type { Language } from '../messages/messages.js';
import { ProblemError } from '../problems.js';
import type { Templates } from '../templates/template.js';
import { firstAnswerTo, takeKey } from './idempotency.js';
import type { IdempotentRequest } from './idempotency.js';
import { generationLimits } from './generation-limits.js';
import type { LimitDefaults } from './generation-limits.js';
import { generationView } from './generation-view.js';
import { parseGenerationRequest } from './parse-generation-request.js';
import type { AcceptableRequest } from './parse-generation-request.js';
import { isLockTimeout } from './postgres-error.js';
import { recoveryPolicy } from './recovery-policy.js';
import { refuseUnknownClasses } from './refuse-unknown-classes.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';

/** Until accounts exist everything belongs to one. */
const ACCOUNT_ID = 'default';

export interface AcceptanceDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly templates: Templates;
  readonly directory: BackendDirectory;
  readonly limits: LimitDefaults;
  readonly recovery: RecoveryPolicy;
  /** Accepted and unfinished generations beyond this are refused with `queue_full`. */
  readonly maxOpenGenerations: number;
  readonly temporalUrlOf: (generationId: string) => string | null;
}

export interface AcceptanceRequest {
  readonly body: unknown;
  readonly idempotencyKey: string | null;
  /** Of the answer; a repetition gets the first one again, whatever it asks for. */
  readonly language: Language;
}

export interface Acceptance {
  readonly generationId: string;
  /** The answer, byte for byte what an idempotent repetition gets again. */
  readonly body: string;
  readonly isReplay: boolean;
}

export type AcceptGeneration = (request: AcceptanceRequest) => Promise<Acceptance>;

interface Prepared {
  readonly generationId: string;
  readonly request: AcceptableRequest;
  readonly graph: GraphReference;
  readonly fleet: FleetState;
  readonly idempotency: IdempotentRequest | null;
  readonly language: Language;
}

/** Another transaction committed the same key while this one waited. */
class KeyTakenError extends Error {
  override readonly name = 'KeyTakenError';
}

/**
 * Makes a request durable: the graph into the object store first, then one transaction with everything else. After
 * COMMIT nothing that dies can lose the generation; before it, nothing has happened that a repetition would notice.
 */
export function createAcceptGeneration(deps: AcceptanceDeps): AcceptGeneration {
  return async function acceptGeneration({ body, idempotencyKey, language }) {
    const idempotency = idempotentRequest(body, idempotencyKey);
    const replay = idempotency === null ? null : await replayOf(deps.database, idempotency);
    if (replay !== null) return replay;
    const request = parseGenerationRequest(body, deps.templates);
    if (request.template === 'graph') await refuseUnknownClasses(deps.directory, request.graph);
    const [graph, fleet] = await Promise.all([
      storeGraph(deps.store, request.graph),
      fleetState(deps.directory, request.pool),
    ]);
    const generationId = `gen_${uuidv7().replaceAll('-', '')}`;
    return commit(deps, { generationId, request, graph, fleet, idempotency, language });
  };
}

function idempotentRequest(body: unknown, key: string | null): IdempotentRequest | null {
  return key === null ? null : { accountId: ACCOUNT_ID, key, requestSha256: canonicalSha256(body) };
}

async function replayOf(database: Database, request: IdempotentRequest): Promise<Acceptance | null> {
  const body = await firstAnswerTo(database, request);
  if (body === null) return null;
  const generationId = /"id":"(gen_[0-9a-f]{32})"/.exec(body)?.[1] ?? '';
  return { generationId, body, isReplay: true };
}

async function commit(deps: AcceptanceDeps, prepared: Prepared): Promise<Acceptance> {
  const { generationId, idempotency } = prepared;
  try {
    crashPoint('acceptGeneration.before');
    const body = await deps.database.transaction().execute(async (transaction) => {
      await sql`SET LOCAL lock_timeout = '2s'`.execute(transaction);
      return insertAll(transaction, deps, prepared);
    });
    crashPoint('acceptGeneration.mid');
    return { generationId, body, isReplay: false };
  } catch (error) {
    if (idempotency === null || !(error instanceof KeyTakenError || isLockTimeout(error))) throw error;
    const replay = error instanceof KeyTakenError ? await replayOf(deps.database, idempotency) : null;
    if (replay !== null) return replay;
    throw new ProblemError('idempotency_in_flight', 'The first request with this key has not been answered yet.', {
      headers: { 'Retry-After': '1' },
    });
  }
}

async function insertAll(
  transaction: Transaction<DatabaseSchema>,
  deps: AcceptanceDeps,
  prepared: Prepared,
): Promise<string> {
  const { generationId, request, graph, fleet, idempotency, language } = prepared;
  const { open, ahead, now } = await lookAtQueue(transaction, request.priority);
  if (open >= deps.maxOpenGenerations) {
    throw new ProblemError('queue_full', `${open} generations are waiting or rendering.`, {
      headers: { 'Retry-After': '30' },
    });
  }
  const row = await transaction
    .insertInto('generations')
    .values({
      id: generationId,
      account_id: ACCOUNT_ID,
      template: request.template,
      graph_key: graph.key,
      priority: request.priority,
      asked: JSON.stringify(request.asked),
      metadata: JSON.stringify(request.metadata),
      workflow_input: JSON.stringify(workflowInput(deps, prepared, now.getTime())),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  const { reason, busy, slots } = fleet;
  const queue = { position: ahead + 1, busy, slots, ...(reason !== null && { reason }) };
  const temporalUrl = deps.temporalUrlOf(generationId);
  const nothingYet = { outputs: [], attempts: [], progress: null, runId: null };
  const view = generationView({ row, ...nothingYet, queue, temporalUrl, language });
  const body = JSON.stringify(view);
  if (idempotency !== null && !(await takeKey(transaction, idempotency, { generationId, body }))) {
    throw new KeyTakenError();
  }
  await appendEvent(transaction, generationId, { type: 'accepted', data: { status: 'QUEUED' } });
  await transaction.insertInto('outbox').values({ kind: 'start', generation_id: generationId }).execute();
  return body;
}

async function lookAtQueue(transaction: Transaction<DatabaseSchema>, priority: number) {
  const row = await transaction
    .selectFrom('generations')
    .select((eb) => [
      eb.fn.countAll<string>().as('open'),
      eb.fn
        .countAll<string>()
        .filterWhere((where) => where.and([where('status', '=', 'QUEUED'), where('priority', '<=', priority)]))
        .as('ahead'),
      sql<Date>`now()`.as('now'),
    ])
    .where('finished_at', 'is', null)
    .executeTakeFirstOrThrow();
  return { open: Number(row.open), ahead: Number(row.ahead), now: row.now };
}

function workflowInput(
  defaults: Pick<AcceptanceDeps, 'limits' | 'recovery'>,
  ...[prepared, acceptedAtMs]: [Prepared, number]
): GenerationInput {
  const { generationId, request, graph } = prepared;
  return {
    generationId,
    accountId: ACCOUNT_ID,
    template: request.template,
    graph,
    pool: request.pool,
    expected: request.expected,
    limits: generationLimits(defaults.limits, request),
    recovery: recoveryPolicy(defaults.recovery, request.recovery),
    acceptedAtMs,
  };
}
