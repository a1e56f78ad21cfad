import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { backendReportKey } from '../../workflows/contracts/backend-report.js';
import type { BackendReport } from '../../workflows/contracts/backend-report.js';
import { createReadHistory } from '../../api/metrics/read-history.js';
import { openDatabase } from '../../infra/postgres/database.js';
import { until } from '../support/until.js';
import { NOWHERE, accept, call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

const metrics = async (base = api): Promise<string> => (await call(`${base}/metrics`)).text;

/** Ends a generation of the template as the outcome's transaction does. */
async function ended(template: string, status: 'COMPLETED' | 'FAILED', secondsAgo: number): Promise<string> {
  const id = await accept(api);
  const { database } = setting;
  if (status === 'COMPLETED')
    await sql`INSERT INTO outputs (generation_id, index, kind, media_type, object_key, bytes, sha256)
              VALUES (${id}, 0, 'image', 'image/png', 'x', 1, ${'0'.repeat(64)})`.execute(database);
  await sql`UPDATE generations SET template = ${template}, status = ${status},
              failure_kind = ${status === 'FAILED' ? 'CUDA_OOM' : null},
              created_at = now() - make_interval(secs => ${secondsAgo + 10}),
              started_at = now() - make_interval(secs => ${secondsAgo + 8}),
              rendered_at = now() - make_interval(secs => ${secondsAgo + 1}),
              finished_at = now() - make_interval(secs => ${secondsAgo})
            WHERE id = ${id}`.execute(database);
  return id;
}

test('R4.8 counts come from the database: what ended before this process began is in them, unknown templates as one', async () => {
  await ended('test-card', 'COMPLETED', 3_600);
  await ended('test-card', 'COMPLETED', 5);
  await ended('gone-template', 'FAILED', 3_600);
  const failed = await ended('another-that-is-gone', 'FAILED', 5);
  await sql`INSERT INTO recovery_attempts (generation_id, attempt, kind, strategy, message, success)
            VALUES (${failed}, 1, 'CUDA_OOM', 'free_memory', 'x', false)`.execute(setting.database);
  const fresh = await setting.startApi();
  const text = await metrics(fresh);
  const labels = 'status="COMPLETED",kind="",template="test-card",provider="comfyui"';
  expect(text).toContain(`durable_comfy_generations_ended_total{${labels}} 2\n`);
  expect(text).toContain('{status="FAILED",kind="CUDA_OOM",template="other",provider="comfyui"} 2\n');
  expect(text).toContain('durable_comfy_recoveries_total{kind="CUDA_OOM",strategy="free_memory",success="false"} 1\n');
  const total = '{template="test-card",phase="rendering"';
  expect(text).toContain(`durable_comfy_generation_duration_seconds_count${total}} 2\n`);
  expect(text).toContain(`durable_comfy_generation_duration_seconds_sum${total}} 14\n`);
  expect(text).toContain(`durable_comfy_generation_duration_seconds_bucket${total},le="5"} 0\n`);
  expect(text).toContain(`durable_comfy_generation_duration_seconds_bucket${total},le="10"} 2\n`);
  expect(text).toContain(`durable_comfy_generation_duration_seconds_bucket${total},le="+Inf"} 2\n`);
  expect(text).toContain('durable_comfy_recovery_rate 0\n');
  expect(text).toContain('durable_comfy_recovery_rate_threshold 0.8\n');
});

test('what is settled is counted once and what is not is read again: two looks agree with one', async () => {
  const read = createReadHistory(setting.database);
  const before = await read();
  await ended('test-card', 'COMPLETED', 3);
  await ended('test-card', 'COMPLETED', 30);
  const after = await read();
  const countOf = (tallies: typeof before.ended): number =>
    tallies.filter(({ group }) => group[2] === 'test-card').reduce((sum, { count }) => sum + count, 0);
  expect(countOf(after.ended) - countOf(before.ended)).toBe(2);
  const inOne = await createReadHistory(setting.database)();
  const sorted = (tallies: typeof before.ended) => tallies.map((tally) => JSON.stringify(tally)).sort();
  expect(sorted((await read()).ended)).toEqual(sorted(inOne.ended));
});

test('R4.8 depth and age of the queue by pool and priority, credits by kind, and the outbox', async () => {
  await post(`${api}/v1/accounts`, { id: 'acme' });
  await post(`${api}/v1/accounts/acme/grants`, { credits: 50, reference: 'first' });
  const id = await accept(api, { template: 'test-card', parameters: { width: 64, height: 64 }, priority: 2 });
  await sql`UPDATE generations SET created_at = now() - interval '90 seconds' WHERE id = ${id}`.execute(
    setting.database,
  );
  const reservation = { generation_id: id, model_id: 'fal-ai/a', usd: 0.25 };
  await setting.database.insertInto('fal_reservations').values(reservation).execute();
  const text = await metrics(await setting.startApi());
  expect(text).toContain('durable_comfy_fal_set_aside_usd 0.25\n');
  expect(text).toMatch(/durable_comfy_queue_depth\{pool="default",priority="2"\} 1\n/);
  expect(
    Number(/durable_comfy_queue_oldest_seconds\{pool="default",priority="2"\} ([\d.]+)/.exec(text)?.[1]),
  ).toBeGreaterThan(89);
  expect(text).toMatch(/durable_comfy_outbox_depth\{kind="start"\} \d+\n/);
  expect(text).toContain('durable_comfy_emergency_stop 0\n');
  expect(text).toContain('durable_comfy_credits_total{kind="grant"} 50\n');
});

test('R4.8 requests are counted by the pattern of their route; no id is in any label', async () => {
  const id = await accept(api);
  await call(`${api}/v1/generations/${id}`);
  await call(`${api}/v1/nowhere/${id}`);
  const text = await until('they are counted', async () => {
    const seen = await metrics();
    return seen.includes('route="none"') ? seen : null;
  });
  expect(text).toContain('_count{method="GET",route="/v1/generations/:id",status="200"} 1\n');
  expect(text).toContain('method="GET",route="none",status="404"');
  expect(text).not.toContain('gen_');
});

test('R4.8 a backend that reports is shown with its card, its disk and its time; one that is silent is down', async () => {
  const report = (backendId: string, reportedAt: string): BackendReport => ({
    ...{ backendId, pool: 'default', health: 'healthy', reason: 'answers', gate: 'open', addresses: [] },
    ...{ comfyuiVersion: '0.8.0', device: 'gpu', deviceName: 'Test GPU', vramTotalBytes: 8e9, queueRemaining: 2 },
    ...{ maxGpuJobs: 1, capabilitiesKey: null, reportedAt, vramFreeBytes: 5e9 },
    ...{ usage: { busySeconds: 12.5, idleWhileWaitingSeconds: 0.25 }, disk: { freeBytes: 1e9, spoolBytes: 42 } },
  });
  const { store } = setting;
  const write = async (name: string, at: Date) =>
    store.writeJson(backendReportKey(name), report(name, at.toISOString()), { kind: 'always' });
  await write('gpu-1', new Date());
  await write('gpu-2', new Date(Date.now() - 120_000));
  const text = await metrics(await setting.startApi());
  const labels = '{backend="gpu-1",pool="default"}';
  for (const line of [
    ...[`up${labels} 1`, `queue${labels} 2`, `vram_free_bytes${labels} 5000000000`, `spool_bytes${labels} 42`],
    ...[`busy_seconds_total${labels} 12.5`, `idle_while_waiting_seconds_total${labels} 0.25`],
    'up{backend="gpu-2",pool="default"} 0',
  ])
    expect(text).toContain(`durable_comfy_backend_${line}\n`);
  expect(text).not.toContain('backend_queue{backend="gpu-2"');
});

test('R4.8 without database and store the figures of the process still come, and say what is missing', async () => {
  const apart = await setting.startApi({
    ...{ DATABASE_URL: `postgres://nobody@${NOWHERE}/nothing`, S3_ENDPOINT: `http://${NOWHERE}` },
  });
  const startedAt = performance.now();
  const { status, headers, text } = await call(`${apart}/metrics`);
  expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  expect(text).toContain('durable_comfy_database_up 0\n');
  expect(text).toContain('durable_comfy_object_store_up 0\n');
  expect(text).toContain('process_resident_memory_bytes');
  expect(text).not.toContain('durable_comfy_queue_depth');
});

test('R4.8 many scrapes cost one look at the database', async () => {
  // A database of its own: PostgreSQL counts scans up to ten seconds late, also those of the tests above.
  const own = await createTestSetting();
  const counted = openDatabase({ url: own.databaseUrl, poolSize: 1, onIdleError: () => undefined });
  const scans = async () => {
    const { rows } = await sql<{ readonly scans: string }>`
      SELECT pg_stat_clear_snapshot(), coalesce(seq_scan, 0) AS scans FROM pg_stat_user_tables WHERE relname = 'outbox'`.execute(
      counted.database,
    );
    return Number(rows[0]?.scans);
  };
  const fresh = await own.startApi();
  const before = await scans();
  await Promise.all(Array.from({ length: 50 }, async () => metrics(fresh)));
  await metrics(fresh);
  await until('the statistics have arrived', async () => (await scans()) > before);
  expect((await scans()) - before).toBeLessThanOrEqual(2);
  await counted.close();
  await own.release();
});
