import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Selectable } from 'kysely';
import { createRecordOutcome } from '../../activities/record-outcome.js';
import { createRecordProgress } from '../../activities/record-progress.js';
import { changeClaim, claimKey } from '../../activities/storage/claim-record.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import type { GenerationsTable } from '../../infra/postgres/database-schema.js';
import type { FailureKind } from '../../workflows/domain/failure.js';
import type { RecordOutcomeInput, RecordProgressInput } from '../../workflows/contracts/activities.js';
import type { StoredOutput } from '../../workflows/contracts/generation.js';
import { createTestBucket, createTestDatabase, uniqueName } from '../support/stack.js';
import { environment, failureOf } from './support/activity-world.js';
import { freePort } from './support/stub-server.js';

const falSpool = { remove: async () => undefined };
let connection: DatabaseConnection;
let store: ObjectStore;
beforeAll(async () => {
  const url = await createTestDatabase();
  connection = openDatabase({ url, poolSize: 8, onIdleError: () => undefined });
  store = createObjectStore(await createTestBucket());
});
afterAll(async () => {
  await connection.close();
});

/** A generation as the API accepts it. */
async function accepted(
  facts: Partial<Pick<Selectable<GenerationsTable>, 'status' | 'submission' | 'backend_id'>> = {},
) {
  const id = uniqueName('g');
  await connection.database
    .insertInto('generations')
    .values({
      ...{ id, template: 'graph', graph_key: 'graphs/a.json', metadata: '{}', workflow_input: '{}' },
      asked: JSON.stringify({ promptText: 'a house' }),
      ...facts,
    })
    .execute();
  return id;
}

function buildOutput(index = 0): StoredOutput {
  return {
    ...{ index, kind: 'image', objectKey: `jobs/a/image_${index}.png`, mediaType: 'image/png', bytes: 5_000_000_000 },
    ...{ sha256: 'a'.repeat(64), widthPx: 64, heightPx: 64, frames: null, durationSeconds: null, isFlat: false },
  };
}

function buildOutcome(generationId: string, facts: Partial<RecordOutcomeInput> = {}): RecordOutcomeInput {
  return { generationId, submission: 1, status: 'COMPLETED', outputs: [buildOutput()], failure: null, ...facts };
}

const FAILED = {
  status: 'FAILED',
  outputs: [],
  failure: { kind: 'NO_FACE', detail: 'No face detected.', facts: { nodeId: '3' } },
} as const;

function processing(generationId: string, submission = 1, startedAtMs = 1_700_000_000_000): RecordProgressInput {
  return { generationId, submission, record: { type: 'processing', backendId: `gpu-${submission}`, startedAtMs } };
}

function recovering(
  generationId: string,
  ...[attempt = 1, submission = 1, kind = 'PROMPT_LOST', strategy = 'resubmit']: [
    number?,
    number?,
    FailureKind?,
    string?,
  ]
): RecordProgressInput {
  const recovery = { attempt, kind, strategy, message: 'again' };
  return { generationId, submission, record: { type: 'recovering', recovery } };
}

const recordProgress = async (input: RecordProgressInput, database = connection.database) =>
  environment().run(createRecordProgress({ database }), input);
const recordOutcome = async (input: RecordOutcomeInput, { runId = 'run-1', latestRunId = 'run-9' } = {}) => {
  const isLatestRun = async (_generationId: string, asked: string) => asked === latestRunId;
  const record = createRecordOutcome({ database: connection.database, store, falSpool, isLatestRun });
  return environment({ workflowExecution: { workflowId: 'generation/g', runId } }).run(record, input);
};

const rowOf = async (id: string) =>
  connection.database.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const eventsOf = async (id: string) => {
  const events = connection.database.selectFrom('generation_events').selectAll().where('generation_id', '=', id);
  return (await events.orderBy('sequence').execute()).map(({ sequence, type }) => `${sequence} ${type}`);
};
const outputsOf = async (id: string) =>
  connection.database.selectFrom('outputs').selectAll().where('generation_id', '=', id).orderBy('index').execute();

describe('Progress of a generation', () => {
  test('the beginning is recorded once, with backend, submission and time', async () => {
    const id = await accepted();
    await recordProgress(processing(id));
    await recordProgress(processing(id));
    expect(await rowOf(id)).toMatchObject({
      ...{ status: 'PROCESSING', backend_id: 'gpu-1', submission: 1, started_at: new Date(1_700_000_000_000) },
    });
    expect(await eventsOf(id)).toEqual(['1 processing']);
  });

  test('a recovery does not begin the generation anew', async () => {
    const id = await accepted();
    await recordProgress(processing(id));
    await recordProgress(recovering(id));
    await recordProgress(recovering(id));
    expect(await rowOf(id)).toMatchObject({ status: 'RECOVERING', submission: 1 });
    await recordProgress(processing(id, 2, 1_800_000_000_000));
    expect(await rowOf(id)).toMatchObject({
      ...{ status: 'PROCESSING', backend_id: 'gpu-2', submission: 2, started_at: new Date(1_700_000_000_000) },
    });
    expect(await eventsOf(id)).toEqual(['1 processing', '2 recovering', '3 processing']);
    const attempts = connection.database.selectFrom('recovery_attempts').selectAll().where('generation_id', '=', id);
    expect(await attempts.execute()).toMatchObject([{ attempt: 1, kind: 'PROMPT_LOST', success: null }]);
  });

  test('what comes from a lower submission changes nothing', async () => {
    const id = await accepted();
    await recordProgress(processing(id, 2));
    await recordProgress(processing(id, 1));
    await recordProgress(recovering(id, 1, 1));
    expect(await rowOf(id)).toMatchObject({ status: 'PROCESSING', backend_id: 'gpu-2', submission: 2 });
    expect(await eventsOf(id)).toEqual(['1 processing']);
  });

  test('what comes after the end changes nothing', async () => {
    const id = await accepted();
    await recordOutcome(buildOutcome(id));
    await recordProgress(processing(id, 9));
    await recordProgress(recovering(id, 1, 9));
    expect(await rowOf(id)).toMatchObject({ status: 'COMPLETED', submission: 1 });
    expect(await eventsOf(id)).toEqual(['1 completed']);
  });

  test('records that race leave events without a gap', async () => {
    const id = await accepted();
    const attempts = [1, 2, 3, 4, 5, 6, 7, 8];
    await Promise.all(attempts.map(async (attempt) => recordProgress(recovering(id, attempt))));
    await recordOutcome(buildOutcome(id));
    const expected = attempts.map((sequence) => `${sequence} recovering`);
    expect(await eventsOf(id)).toEqual([...expected, '9 completed']);
  });
});

describe('The outcome of a generation', () => {
  test('R5.8 a completed one has its outputs, what was delivered, and its end', async () => {
    const id = await accepted();
    await recordProgress(recovering(id));
    await recordOutcome(buildOutcome(id, { outputs: [buildOutput(0), buildOutput(1)] }));
    const row = await rowOf(id);
    expect(row).toMatchObject({ status: 'COMPLETED', failure_kind: null, delivered: { promptText: 'a house' } });
    expect(row.finished_at).toBeInstanceOf(Date);
    expect(await outputsOf(id)).toMatchObject([
      { index: 0, bytes: '5000000000', object_key: 'jobs/a/image_0.png' },
      { index: 1, object_key: 'jobs/a/image_1.png' },
    ]);
    const attempts = connection.database
      .selectFrom('recovery_attempts')
      .select('success')
      .where('generation_id', '=', id);
    expect(await attempts.execute()).toEqual([{ success: true }]);
  });

  test('R5.8 an attempt after which no GPU was found has not worked, nor a fallback that fal.ai did not take', async () => {
    const successes = async (outcome: Partial<RecordOutcomeInput>) => {
      const id = await accepted();
      await recordProgress(recovering(id, 1, 1, 'BACKEND_CRASHED'));
      await recordProgress(recovering(id, 2, 1, 'NO_CAPACITY', 'fal'));
      await recordOutcome({ ...buildOutcome(id, { outputs: [buildOutput(0)] }), ...outcome });
      const rows = await connection.database
        .selectFrom('recovery_attempts')
        .select('success')
        .where('generation_id', '=', id)
        .orderBy('attempt')
        .execute();
      return rows.map(({ success }) => success);
    };
    expect(await successes({ provider: 'fal' })).toEqual([false, true]);
    expect(await successes({})).toEqual([false, false]);
    expect(await successes(FAILED)).toEqual([false, false]);
  });

  test('R1.2 why fal.ai does not take what waits is recorded once, and shown by an event', async () => {
    const id = await accepted();
    const said = { type: 'no_fallback', reason: 'over a ceiling', status: 'QUEUED' } as const;
    for (let tries = 0; tries < 2; tries += 1) await recordProgress({ generationId: id, submission: 0, record: said });
    expect(await rowOf(id)).toMatchObject({ status: 'QUEUED', fallback_obstacle: 'over a ceiling' });
    expect(await eventsOf(id)).toEqual(['1 no_fallback']);
  });

  test('R5.8 an attempt has worked when its failure did not come back', async () => {
    const id = await accepted();
    for (const [index, kind] of (['CUDA_OOM', 'CUDA_OOM', 'PROMPT_LOST'] as const).entries())
      // then NO_FACE
      await recordProgress(recovering(id, index + 1, 1, kind));
    await recordOutcome({ ...buildOutcome(id), ...FAILED });
    const attempts = connection.database
      .selectFrom('recovery_attempts')
      .select('success')
      .where('generation_id', '=', id)
      .orderBy('attempt');
    expect(await attempts.execute()).toEqual([{ success: false }, { success: true }, { success: true }]);
  });

  test.each([
    [{ ...FAILED }, { status: 'FAILED', failure_kind: 'NO_FACE', delivered: null }],
    [
      { ...FAILED, status: 'TIMEOUT', failure: { kind: 'TIMEOUT', detail: 'a', facts: {} } },
      { status: 'TIMEOUT', failure_kind: 'TIMEOUT' },
    ],
    [
      { ...FAILED, status: 'CANCELLED', failure: null },
      { status: 'CANCELLED', failure_kind: null, failure: null },
    ],
  ] as const)('R5.8 the outcome %j is recorded as it is', async (outcome, row) => {
    const id = await accepted();
    await recordOutcome(buildOutcome(id, outcome));
    expect(await rowOf(id)).toMatchObject(row);
    expect(await outputsOf(id)).toEqual([]);
  });

  test('a second run of the activity changes nothing', async () => {
    const id = await accepted();
    await recordOutcome(buildOutcome(id));
    const before = await rowOf(id);
    await recordOutcome(buildOutcome(id));
    expect(await rowOf(id)).toEqual(before);
    expect(await eventsOf(id)).toEqual(['1 completed']);
    expect(await outputsOf(id)).toHaveLength(1);
  });

  test('two outcomes that race: one is recorded whole, of the other nothing', async () => {
    const id = await accepted();
    const outcomes = [buildOutcome(id), buildOutcome(id, FAILED)];
    await Promise.all(outcomes.map(async (outcome) => recordOutcome(outcome)));
    const { status } = await rowOf(id);
    expect(await outputsOf(id)).toHaveLength(status === 'COMPLETED' ? 1 : 0);
    expect(await eventsOf(id)).toEqual([`1 ${status.toLowerCase()}`]);
  });

  test.each(['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'] as const)(
    'the database itself does not let %s be left',
    async (status) => {
      const id = await accepted();
      const failure = status === 'FAILED' || status === 'TIMEOUT' ? FAILED.failure : null;
      await recordOutcome(buildOutcome(id, { status, failure }));
      for (const next of ['QUEUED', 'PROCESSING', status === 'CANCELLED' ? 'COMPLETED' : 'CANCELLED'] as const) {
        const update = connection.database.updateTable('generations').set({ status: next }).where('id', '=', id);
        await expect(update.execute()).rejects.toMatchObject({ constraint: 'terminal_status_is_never_left' });
      }
      expect(await rowOf(id)).toMatchObject({ status });
    },
  );

  test('R3.2 the database itself refuses COMPLETED without an output', async () => {
    const id = await accepted();
    const failure = await failureOf(recordOutcome(buildOutcome(id, { outputs: [] })));
    expect(failure.message).toMatch(/cannot be COMPLETED without an output/);
    expect(await rowOf(id)).toMatchObject({ status: 'QUEUED', event_sequence: 0 });
    expect(await eventsOf(id)).toEqual([]);
  });

  test('R3.2 the database itself refuses an output of 0 bytes, and then nothing is recorded', async () => {
    const id = await accepted();
    await failureOf(recordOutcome(buildOutcome(id, { outputs: [buildOutput(0), { ...buildOutput(1), bytes: 0 }] })));
    expect(await rowOf(id)).toMatchObject({ status: 'QUEUED' });
    expect(await outputsOf(id)).toEqual([]);
  });

  test('an outcome of a lower submission is refused: another rendering is under way', async () => {
    const id = await accepted();
    await recordProgress(processing(id, 2));
    const failure = await failureOf(recordOutcome(buildOutcome(id, { submission: 1 })));
    expect(failure).toMatchObject({ type: 'SUPERSEDED', nonRetryable: true });
    expect(failure.message).toMatch(/Submission 2 is under way, this is 1/);
    expect(await rowOf(id)).toMatchObject({ status: 'PROCESSING' });
    expect(await outputsOf(id)).toEqual([]);
  });

  test('an outcome of a lower submission counts when its run is the latest: it was reset to before the last claim', async () => {
    const id = await accepted();
    await recordProgress(processing(id, 2));
    await recordOutcome(buildOutcome(id, { submission: 1 }), { latestRunId: 'run-1' });
    expect(await rowOf(id)).toMatchObject({ status: 'COMPLETED', submission: 2, ended_by_run: 'run-1' });
  });

  test.each(['COMPLETED', 'CANCELLED'] as const)(
    'a run that was reset after the end is refused, though it offers %s',
    async (status) => {
      const id = await accepted();
      await recordOutcome(buildOutcome(id));
      const outputs = status === 'COMPLETED' ? [buildOutput()] : [];
      const failure = await failureOf(recordOutcome(buildOutcome(id, { status, outputs }), { runId: 'run-2' }));
      expect(failure).toMatchObject({ type: 'ALREADY_ENDED', nonRetryable: true });
      expect(await eventsOf(id)).toEqual(['1 completed']);
    },
  );

  test('a Workflow that was cancelled before anybody knew that it had started agrees with the row', async () => {
    const id = await accepted();
    const ended = { status: 'CANCELLED', finished_at: new Date() } as const;
    await connection.database.updateTable('generations').set(ended).where('id', '=', id).execute();
    await recordOutcome(buildOutcome(id, { status: 'CANCELLED', outputs: [], submission: 0 }));
    expect(await eventsOf(id)).toEqual([]);
    const failure = await failureOf(recordOutcome(buildOutcome(id)));
    expect(failure).toMatchObject({ type: 'ALREADY_ENDED' });
  });

  test('the claim is closed, so that not even a reset renders again', async () => {
    const id = await accepted({ submission: 1, backend_id: 'gpu-1' });
    await changeClaim(store, id, async () => ({ submission: 1, backendId: 'gpu-1', ended: false }));
    await recordOutcome(buildOutcome(id));
    await recordOutcome(buildOutcome(id));
    const claim = await store.readJson(claimKey(id));
    expect(claim?.value).toEqual({ submission: 1, backendId: 'gpu-1', ended: true });
  });

  test('a generation that was never claimed is closed all the same: no reset may claim it later', async () => {
    const id = await accepted();
    await recordOutcome(buildOutcome(id, { ...FAILED, submission: 0 }));
    const claim = await store.readJson(claimKey(id));
    expect(claim?.value).toEqual({ submission: 0, backendId: '', ended: true });
  });

  test('an outage of the database is retried without end, and so is what nobody expected: the picture is stored', async () => {
    const url = `postgres://nobody@127.0.0.1:${await freePort()}/absent`;
    const away = openDatabase({ url, poolSize: 1, onIdleError: () => undefined });
    const record = createRecordOutcome({ database: away.database, store, falSpool, isLatestRun: async () => true });
    const outage = await failureOf(environment({ attempt: 50 }).run(record, buildOutcome('g-1')));
    expect(outage).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    await away.close();
    const unknown = await failureOf(recordOutcome(buildOutcome('a generation that does not exist')));
    expect(unknown).toMatchObject({ type: 'UNEXPECTED', nonRetryable: false });
  });
});
