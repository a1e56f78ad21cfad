import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import { accept, call, createTestSetting } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

const REQUEST = {
  template: 'sd15-text-to-image',
  parameters: { prompt: 'a weir', seed: 9 },
  metadata: { order: '7' },
  priority: 2,
  recovery: { strict: true },
};

async function ended(status: GenerationStatus): Promise<string> {
  const id = await accept(api, REQUEST);
  const isFailed = status === 'FAILED' || status === 'TIMEOUT';
  const failure = { failure_kind: 'TIMEOUT', failure: '{"detail":"a","facts":{}}' } as const;
  if (status === 'COMPLETED') await setting.database.insertInto('outputs').values(pictureOf(id)).execute();
  await setting.database
    .updateTable('generations')
    .set({ status, finished_at: new Date(), ...(isFailed && failure) })
    .where('id', '=', id)
    .execute();
  return id;
}

function pictureOf(id: string) {
  const file = { kind: 'image', media_type: 'image/png', object_key: `jobs/${id}/image_0.png` } as const;
  return { generation_id: id, index: 0, ...file, bytes: 100, sha256: 'a'.repeat(64), is_flat: false };
}

const retry = async (id: string, key?: string) =>
  call(`${api}/v1/generations/${id}/retry`, {
    method: 'POST',
    ...(key !== undefined && { headers: { 'Idempotency-Key': key } }),
  });

test.each(['FAILED', 'TIMEOUT', 'CANCELLED'] as const)(
  'R5.11 one that has ended as %s is accepted once more, the same in everything, and stays as it is',
  async (status) => {
    const id = await ended(status);
    const answer = await retry(id);
    expect(answer.status).toBe(202);
    const again = String(answer.json['id']);
    expect(again).not.toBe(id);
    expect(answer.headers['location']).toBe(`/v1/generations/${again}`);
    const [before, after] = await Promise.all([id, again].map(rowOf));
    expect(answer.json).toMatchObject({
      status: 'QUEUED',
      retryOf: id,
      asked: before?.asked,
      metadata: { order: '7' },
    });
    expect(after).toMatchObject({ retry_of: id, priority: 2, graph_key: before?.graph_key, submission: 0 });
    const { generationId, acceptedAtMs, ...input } = after?.workflow_input ?? {};
    expect(before?.workflow_input).toMatchObject({ ...input, recovery: { isStrict: true } });
    expect(generationId).toBe(again);
    expect(acceptedAtMs).toBeGreaterThan(before?.workflow_input.acceptedAtMs ?? 0);
    expect(before?.status).toBe(status);
    const told = await setting.database
      .selectFrom('outbox')
      .select('kind')
      .where('generation_id', '=', again)
      .execute();
    expect(told).toEqual([{ kind: 'start' }]);
  },
);

test('R5.11 the same key retries once, whoever asks how often; another generation under that key is refused', async () => {
  const id = await ended('FAILED');
  const answers = await Promise.all(Array.from({ length: 8 }, async () => retry(id, 'again')));
  expect(new Set(answers.map(({ json }) => json['id'])).size).toBe(1);
  expect((await retry(await ended('FAILED'), 'again')).json).toMatchObject({ code: 'idempotency_mismatch' });
});

test('one that goes on, one that has its result, and one that does not exist are not retried', async () => {
  const open = await retry(await accept(api, REQUEST));
  expect(open).toMatchObject({ status: 409, json: { code: 'generation_not_failed', retryable: false } });
  expect(open.json['detail']).toContain('is QUEUED');
  const id = await ended('COMPLETED');
  expect((await retry(id)).json).toMatchObject({ code: 'generation_not_failed' });
  expect((await retry(`gen_${'0'.repeat(32)}`)).status).toBe(404);
});

async function rowOf(id: string) {
  return setting.database.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirst();
}
