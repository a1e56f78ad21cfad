import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { FailureKind } from '../../workflows/domain/failure.js';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import { call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

const GRAPH = {
  '1': { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 255 } },
  '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'a' } },
};

const jobs = () => `${api}/api/error-recovery/jobs`;

async function submitted(extra: object = {}): Promise<string> {
  const { status, json } = await post(`${jobs()}/submit`, { workflow_data: GRAPH, ...extra });
  expect({ status, json }).toMatchObject({ status: 202, json: { success: true, status: 'queued' } });
  return String(json['job_id']);
}

async function end(id: string, status: GenerationStatus, kind: FailureKind | null = null): Promise<void> {
  if (status === 'COMPLETED') {
    const file = { kind: 'image', media_type: 'image/png', object_key: `jobs/${id}/image_0.png` } as const;
    await setting.database
      .insertInto('outputs')
      .values({ generation_id: id, index: 0, ...file, bytes: 100, sha256: 'a'.repeat(64), is_flat: false })
      .execute();
  }
  const failure = { failure_kind: kind, failure: '{"detail":"no room","facts":{}}' };
  await setting.database
    .updateTable('generations')
    .set({ status, finished_at: new Date(), ...(kind !== null && failure) })
    .where('id', '=', id)
    .execute();
}

async function attempt(
  id: string,
  number: number,
  facts: { kind: FailureKind; success: boolean | null },
): Promise<void> {
  const row = {
    generation_id: id,
    attempt: number,
    strategy: 'reduce_params',
    message: 'The picture is made smaller, with fewer steps',
    ...facts,
  };
  await setting.database.insertInto('recovery_attempts').values(row).execute();
}

async function checkpoint(id: string, number: number): Promise<void> {
  const row = { generation_id: id, attempt: number, progress_percent: 40, graph_key: 'graphs/a.json' };
  await setting.database
    .insertInto('checkpoints')
    .values({ ...row, completed_nodes: '["1"]', files: '[]' })
    .execute();
}

const inputOf = async (id: string) =>
  (await setting.database.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirstOrThrow())
    .workflow_input;

describe('R5.10 A job', () => {
  test('is accepted with its parameters in the graph and its time limit', async () => {
    const id = await submitted({ parameters: { width: 128, color: 7 }, timeout_minutes: 5, job_type: 'video' });
    const { graph, limits } = await inputOf(id);
    expect((await setting.store.readJson(graph.key))?.value).toMatchObject({
      '1': { inputs: { width: 128, color: 7 } },
    });
    expect(limits.totalSeconds).toBe(300);
    const { json } = await call(`${api}/v1/generations/${id}`);
    expect(json).toMatchObject({ status: 'QUEUED', metadata: { job_type: 'video' } });
  });

  test('with what no node takes is refused, and says which', async () => {
    const answer = await post(`${jobs()}/submit`, { workflow_data: GRAPH, prompt: 'a heron', parameters: { cfg: 7 } });
    expect(answer).toMatchObject({
      status: 422,
      json: { code: 'invalid_request', errors: [{ pointer: '/parameters/cfg' }, { pointer: '/prompt' }] },
    });
    expect((await post(`${jobs()}/submit`, { workflow: GRAPH })).json).toMatchObject({ code: 'invalid_request' });
  });

  test('shows its recoveries, its checkpoints and its result', async () => {
    const id = await submitted();
    await attempt(id, 1, { kind: 'CUDA_OOM', success: true });
    await checkpoint(id, 1);
    expect((await call(`${jobs()}/${id}/status`)).json).toMatchObject({ data: { status: 'queued', result: null } });
    await end(id, 'COMPLETED');
    expect((await call(`${jobs()}/${id}/status`)).json).toEqual({
      success: true,
      job_id: id,
      data: {
        status: 'completed',
        progress: 100,
        retry_count: 1,
        recovery_history: [
          {
            attempt: 1,
            message: 'Reduced parameters for cuda_out_of_memory',
            success: true,
            timestamp: expect.stringMatching(/^20/),
          },
        ],
        recovery_status: { total_attempts: 1, successful_attempts: 1, available_checkpoints: 1 },
        result: {
          success: true,
          output_files: [`/v1/generations/${id}/outputs/0`],
          recovery_used: true,
          error_message: null,
        },
      },
    });
    expect((await call(`${jobs()}/gen_${'0'.repeat(32)}/status`)).status).toBe(404);
  });

  test('is retried when the same may succeed, or when that is forced', async () => {
    const [timeout, broken] = [await submitted(), await submitted()];
    await end(timeout, 'TIMEOUT', 'TIMEOUT');
    await end(broken, 'FAILED', 'WORKFLOW_ERROR');
    const again = await call(`${jobs()}/${timeout}/retry`, { method: 'POST' });
    expect(again).toMatchObject({ status: 202, json: { success: true, status: 'queued' } });
    expect(again.json['job_id']).not.toBe(timeout);
    const refused = await post(`${jobs()}/${broken}/retry`, { force_retry: false });
    expect(refused).toMatchObject({ status: 409, json: { code: 'generation_not_retryable' } });
    expect((await post(`${jobs()}/${broken}/retry`, { force_retry: true })).status).toBe(202);
    const [completed, cancelled] = [await submitted(), await submitted()];
    await end(completed, 'COMPLETED');
    await end(cancelled, 'CANCELLED');
    for (const id of [completed, cancelled]) {
      expect((await post(`${jobs()}/${id}/retry`, { force_retry: false })).status).toBe(409);
      expect((await post(`${jobs()}/${id}/retry`, { force_retry: true })).status).toBe(202);
    }
  });

  test('R5.11 up to so many failed ones are retried with one call, each once, whoever calls at the same moment', async () => {
    const ids = await Promise.all([1, 2, 3].map(async () => submitted()));
    for (const id of ids) await end(id, 'FAILED', 'NETWORK_ERROR');
    const unfit = await submitted();
    await end(unfit, 'FAILED', 'BAD_INPUT');
    const overCeiling = await submitted();
    await end(overCeiling, 'FAILED', 'NO_CAPACITY');
    await setting.database
      .updateTable('generations')
      .set({ provider: 'fal', failure: JSON.stringify({ detail: 'It may cost 2 US$', facts: { isPassing: false } }) })
      .where('id', '=', overCeiling)
      .execute();
    expect((await post(`${jobs()}/${overCeiling}/retry`, { force_retry: false })).status).toBe(409);
    const both = await Promise.all([1, 2].map(async () => post(`${jobs()}/retry-failed`, { max_jobs: 2 })));
    expect(both.map(({ json }) => json['count'])).toEqual([2, 2]);
    const retried = await post(`${jobs()}/retry-failed`, {});
    expect(retried.json['count']).toBeLessThanOrEqual(1);
    const rows = await setting.database.selectFrom('generations').select('retry_of').execute();
    const sources = rows.flatMap(({ retry_of: id }) => (id !== null && ids.includes(id) ? [id] : []));
    expect(sources.sort()).toEqual([...ids].sort());
    for (const each of [unfit, overCeiling]) expect(rows.map(({ retry_of: id }) => id)).not.toContain(each);
    const skipped = { job_id: unfit, reason: 'It failed with BAD_INPUT, and the same would fail again' };
    expect(retried.json['skipped_jobs']).toContainEqual(skipped);
    expect(retried.json['skipped_jobs']).toContainEqual(expect.objectContaining({ job_id: overCeiling }));
  });
});

describe('R5.10 Idempotency-Key', () => {
  const withKey = async (path: string, ...[key, body]: [string, object]) =>
    post(`${jobs()}/${path}`, body, { 'Idempotency-Key': key });
  const failedJob = async () => {
    const id = await submitted();
    await end(id, 'FAILED', 'NETWORK_ERROR');
    return id;
  };
  const sourcesOf = async (ids: readonly string[]) => {
    const rows = await setting.database.selectFrom('generations').select('retry_of').execute();
    return rows.flatMap(({ retry_of: id }) => (id !== null && ids.includes(id) ? [id] : [])).sort();
  };

  test('of many: racing calls and a repetition get one answer, another body is refused', async () => {
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map(failedJob));
    const racing = await Promise.all([1, 2, 3, 4].map(async () => withKey('retry-failed', 'many', { max_jobs: 2 })));
    expect(racing.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
    expect(new Set(racing.map(({ text }) => text)).size).toBe(1);
    expect(racing[0]?.json).toMatchObject({ success: true, count: 2 });
    expect(await sourcesOf(ids)).toHaveLength(2);
    const again = await withKey('retry-failed', 'many', { max_jobs: 2 });
    expect(again.text).toBe(racing[0]?.text);
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect(await sourcesOf(ids)).toHaveLength(2);
    const other = await withKey('retry-failed', 'many', { max_jobs: 3 });
    expect(other).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
    expect((await withKey('retry-failed', 'rest', { max_jobs: 100 })).json['count']).toBeGreaterThanOrEqual(4);
    const nothing = await withKey('retry-failed', 'nothing', {});
    expect(nothing.json).toMatchObject({ count: 0 });
    await failedJob();
    expect((await withKey('retry-failed', 'nothing', {})).text).toBe(nothing.text);
  });

  test('of many: what a full queue has stopped halfway is gone on with, by the same key', async () => {
    const ids = await Promise.all([1, 2, 3].map(failedJob));
    const { count } = await setting.database
      .selectFrom('generations')
      .select((row) => row.fn.countAll<string>().as('count'))
      .where('finished_at', 'is', null)
      .executeTakeFirstOrThrow();
    const narrow = await setting.startApi({ MAX_OPEN_GENERATIONS: String(Number(count) + 1) });
    const half = await post(
      `${narrow}/api/error-recovery/jobs/retry-failed`,
      { max_jobs: 100 },
      { 'Idempotency-Key': 'half' },
    );
    expect(half).toMatchObject({ status: 503, json: { code: 'queue_full' } });
    const late = await failedJob(); // it is not among those of the first call
    expect((await withKey('retry-failed', 'half', { max_jobs: 100 })).status).toBe(202);
    expect(await sourcesOf([...ids, late])).toEqual([...ids].sort());
  });

  test('of one: forced or not is part of the request, and a repetition says so', async () => {
    const id = await failedJob();
    const first = await withKey(`${id}/retry`, 'one', {});
    const again = await withKey(`${id}/retry`, 'one', {});
    expect(again.text).toBe(first.text);
    expect(again.headers['idempotent-replayed']).toBe('true');
    const forced = await withKey(`${id}/retry`, 'one', { force_retry: true });
    expect(forced).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
  });
});

describe('Statistics', () => {
  let own: TestSetting;
  beforeAll(async () => {
    own = setting;
    await own.database.deleteFrom('generations').where('retry_of', 'is not', null).execute();
    await own.database.deleteFrom('generations').execute();
    const [first, second, third] = [await submitted(), await submitted(), await submitted()];
    await attempt(first, 1, { kind: 'CUDA_OOM', success: false }); // it came back once more
    await attempt(first, 2, { kind: 'CUDA_OOM', success: true });
    await end(first, 'COMPLETED');
    await attempt(second, 1, { kind: 'BACKEND_CRASHED', success: false });
    await end(second, 'FAILED', 'BACKEND_CRASHED');
    await end(third, 'FAILED', 'DISK_FULL');
    await attempt(await submitted(), 1, { kind: 'PROMPT_LOST', success: null });
    const longAgo = new Date(Date.now() - 25 * 3_600_000).toISOString();
    const model = { model_id: 'fal-ai/a' };
    await own.database
      .insertInto('fal_reservations')
      .values([
        { ...model, generation_id: first, usd: 5, created_at: longAgo },
        { ...model, generation_id: second, usd: 0.02 },
        { ...model, generation_id: third, usd: 0.01 },
      ])
      .execute();
  });

  test('R5.10 count every attempt, and every end without one', async () => {
    expect((await call(`${api}/api/error-recovery/statistics`)).json).toEqual({
      total_errors: 5,
      successful_recoveries: 2,
      failed_recoveries: 2,
      recovery_rate: 50,
      error_distribution: { cuda_out_of_memory: 2, network_error: 2, disk_full: 1 },
    });
  });

  test('say what became of the generations, by kind and by strategy, and that too few were recovered from', async () => {
    expect((await call(`${api}/v1/statistics?hours=1`)).json).toMatchObject({
      generations: { COMPLETED: 1, FAILED: 2, QUEUED: 1, TIMEOUT: 0 },
      successRate: 1 / 3,
      seconds: { median: expect.any(Number), p95: expect.any(Number) },
      errors: { total: 5, recovered: 2, failed: 2, underWay: 1, recoveryRate: 0.5, isBelowThreshold: true },
      byKind: [
        { kind: 'CUDA_OOM', total: 2, recovered: 2, failed: 0, underWay: 0 },
        { kind: 'BACKEND_CRASHED', total: 1, failed: 1 },
        { kind: 'DISK_FULL', total: 1, failed: 1 },
        { kind: 'PROMPT_LOST', total: 1, underWay: 1 },
      ],
      byStrategy: [{ strategy: 'reduce_params', total: 4 }],
      falUsdOfLast24Hours: 0.03,
    });
    const detailed = (await call(`${api}/api/error-recovery/statistics/detailed`)).json;
    expect(detailed).toMatchObject({
      ...{ total_errors: 5, jobs: { completed: 1 } },
      by_kind: [{ kind: 'cuda_oom', total: 2, recovered: 2, failed: 0, under_way: 0 }, {}, {}, {}],
      by_strategy: [{ strategy: 'reduce_params', total: 4, recovered: 1, failed: 2, under_way: 1 }],
    });
  });

  test.each(['hours=0', 'hours=x', 'hours=8761', 'days=1'])('refuse %s', async (query) => {
    expect((await call(`${api}/v1/statistics?${query}`)).json).toMatchObject({ code: 'invalid_query' });
  });

  test('R5.12 there are none where they are switched off', async () => {
    const silent = await setting.startApi({ RECOVERY_STATISTICS_ENABLED: 'false' });
    for (const path of [
      '/v1/statistics',
      '/api/error-recovery/statistics',
      '/api/error-recovery/statistics/detailed',
    ]) {
      expect((await call(`${silent}${path}`)).json).toMatchObject({ status: 404, code: 'statistics_disabled' });
    }
  });

  test('checkpoints of what ended longer ago are removed, those of what runs stay', async () => {
    const [old, young, open] = [await submitted(), await submitted(), await submitted()];
    for (const id of [old, young, open]) await checkpoint(id, 1);
    for (const id of [old, young]) await end(id, 'CANCELLED');
    await setting.database
      .updateTable('generations')
      .set({ finished_at: new Date(Date.now() - 3 * 3_600_000) })
      .where('id', '=', old)
      .execute();
    const { json } = await call(`${api}/api/error-recovery/cleanup?hours=2`, { method: 'DELETE' });
    expect(json).toEqual({ success: true, removed_checkpoints: 1 });
    const left = await setting.database.selectFrom('checkpoints').select('generation_id').execute();
    expect(left.map(({ generation_id: id }) => id).sort()).toEqual([young, open].sort());
  });

  test('the health of it all is told', async () => {
    expect((await call(`${api}/api/error-recovery/health`)).json).toMatchObject({ success: true, status: 'healthy' });
  });
});
