import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DEFAULT_RECOVERY } from '../../workflows/domain/recovery-policy.js';
import { buildExpectedOutputs } from '../support/expected-outputs.js';
import { CARD, NOWHERE, accept, call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

const SD15 = { template: 'sd15-text-to-image', parameters: { prompt: 'a lighthouse at dusk', seed: 1 } };

test('an accepted generation is in the database, the outbox and the object store before the answer is sent', async () => {
  const answer = await post(`${api}/v1/generations`, { ...SD15, metadata: { order: '7' }, priority: 2 });
  expect(answer.status).toBe(202);
  const id = String(answer.json['id']);
  expect(id).toMatch(/^gen_[0-9a-f]{32}$/);
  expect(answer.headers['location']).toBe(`/v1/generations/${id}`);
  expect(answer.json).toMatchObject({
    status: 'QUEUED',
    template: 'sd15-text-to-image',
    asked: { prompt: 'a lighthouse at dusk', seed: 1, width: 512, height: 512, steps: 20, sampler: 'euler_ancestral' },
    delivered: null,
    attempts: [],
    abandonedRenderings: 0,
    outputs: [],
    progress: null,
    error: null,
    metadata: { order: '7' },
    priority: 2,
    temporal: {
      workflowId: `generation/${id}`,
      runId: null,
      url: `http://temporal.test/namespaces/default/workflows/generation%2F${id}`,
    },
  });
  const row = await setting.database
    .selectFrom('generations')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  expect(row.workflow_input).toEqual({
    generationId: id,
    accountId: 'default',
    template: 'sd15-text-to-image',
    graph: { key: row.graph_key, sha256: row.graph_key.replace(/^graphs\/|\.json$/g, '') },
    recovery: DEFAULT_RECOVERY,
    provider: 'comfyui',
    fal: {
      modelId: 'fal-ai/stable-diffusion-v15',
      input: { key: expect.stringMatching(/^fal-inputs\/[0-9a-f]{64}\.json$/), sha256: expect.any(String) },
      usd: 0.01,
      unmapped: ['sampler', 'scheduler', 'model'],
      leftOut: [],
    },
    pool: 'default',
    models: ['v1-5-pruned-emaonly.safetensors'],
    expected: {
      ...{ kind: 'image', widthPx: 512, heightPx: 512, count: 1, frames: 1, durationSeconds: null },
      flatImages: 'flag',
    },
    limits: {
      startSeconds: 86_400,
      renderSeconds: 600,
      totalSeconds: null,
      stallSeconds: 180,
      backendReturnSeconds: 60,
    },
    acceptedAtMs: row.created_at.getTime(),
  });
  const outbox = await setting.database.selectFrom('outbox').selectAll().where('generation_id', '=', id).execute();
  expect(outbox.map(({ kind }) => kind)).toEqual(['start']);
  const events = await setting.database
    .selectFrom('generation_events')
    .selectAll()
    .where('generation_id', '=', id)
    .execute();
  expect(events.map(({ sequence, type }) => [sequence, type])).toEqual([[1, 'accepted']]);
  const graph = await setting.store.readJson(row.graph_key);
  expect(graph?.value).toMatchObject({
    '3': { class_type: 'KSampler', inputs: { seed: 1, steps: 20, sampler_name: 'euler_ancestral' } },
    '6': { inputs: { text: 'a lighthouse at dusk', clip: ['4', 1] } },
  });
  const hash = createHash('sha256').update(JSON.stringify(graph?.value)).digest('hex');
  expect(row.graph_key).toBe(`graphs/${hash}.json`);
});

test('reading the generation gives what accepting it gave', async () => {
  const accepted = await post(`${api}/v1/generations`, CARD);
  const read = await call(`${api}${String(accepted.json['url'])}`);
  expect(read.status).toBe(200);
  const { queue: _, ...rest } = accepted.json;
  expect(read.json).toMatchObject(rest);
});

test('a seed that is not given is chosen and shown', async () => {
  const { template, parameters } = SD15;
  const seeds = new Set<unknown>();
  for (let round = 0; round < 5; round += 1) {
    const { json } = await post(`${api}/v1/generations`, { template, parameters: { prompt: parameters.prompt } });
    const seed = (json['asked'] as { seed: number }).seed;
    expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
    seeds.add(seed);
  }
  expect(seeds.size).toBe(5);
});

test('timeoutMinutes sets the total limit and lowers the limit of one rendering to it', async () => {
  const limitsOf = async (timeoutMinutes: number) => {
    const id = await accept(api, { ...CARD, timeoutMinutes });
    const { workflow_input: input } = await setting.database
      .selectFrom('generations')
      .select('workflow_input')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    return input.limits;
  };
  expect(await limitsOf(2)).toMatchObject({ renderSeconds: 120, totalSeconds: 120 });
  expect(await limitsOf(60)).toMatchObject({ renderSeconds: 600, totalSeconds: 3_600 });
});

test('a graph of the caller is accepted as it is', async () => {
  const graph = {
    '1': { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 255 } },
    '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' }, _meta: { title: 'Save' } },
  };
  const answer = await post(`${api}/v1/generations`, { graph });
  expect(answer.status).toBe(202);
  expect(answer.json).toMatchObject({ template: 'graph', asked: {} });
  const row = await setting.database
    .selectFrom('generations')
    .selectAll()
    .where('id', '=', String(answer.json['id']))
    .executeTakeFirstOrThrow();
  expect(row.workflow_input.expected).toEqual(buildExpectedOutputs());
  expect((await setting.store.readJson(row.graph_key))?.value).toEqual(graph);
});

test('the same graph is stored once', async () => {
  const before = (await setting.store.keysUnder('graphs/')).length;
  await accept(api, { template: 'test-card', parameters: { color: 77 } });
  await accept(api, { template: 'test-card', parameters: { color: 77 } });
  expect((await setting.store.keysUnder('graphs/')).length).toBe(before + 1);
});

test('without a database nothing is accepted and the caller is told to come back', async () => {
  const cut = await setting.startApi({ DATABASE_URL: `postgres://nobody:secret@${NOWHERE}/none` });
  const answer = await post(`${cut}/v1/generations`, CARD);
  expect(answer.status).toBe(503);
  expect(answer.json).toMatchObject({ code: 'database_unavailable', retryable: true });
  expect(answer.headers['retry-after']).toBe('5');
  expect(answer.text).not.toMatch(/secret|127\.0\.0\.1|ECONNREFUSED|postgres:/);
  expect((await call(`${cut}/livez`)).status).toBe(200);
});

test('without an object store nothing is accepted', async () => {
  const cut = await setting.startApi({ S3_ENDPOINT: `http://${NOWHERE}` });
  const count = async () => (await setting.database.selectFrom('generations').select('id').execute()).length;
  const before = await count();
  const answer = await post(`${cut}/v1/generations`, CARD);
  expect(answer.status).toBe(503);
  expect(answer.json).toMatchObject({ code: 'storage_unavailable', retryable: true });
  expect(answer.headers['retry-after']).toBeDefined();
  expect(await count()).toBe(before);
});

test('Temporal need not be there to accept or to read', async () => {
  const cut = await setting.startApi({ TEMPORAL_ADDRESS: NOWHERE });
  const id = await accept(cut);
  await setting.database
    .updateTable('generations')
    .set({ status: 'PROCESSING', started_at: new Date() })
    .where('id', '=', id)
    .execute();
  const read = await call(`${cut}/v1/generations/${id}`);
  expect(read.json).toMatchObject({ status: 'PROCESSING', progress: null, queue: null });
});

test('a full queue refuses, and says so', async () => {
  const small = await setting.startApi({ MAX_OPEN_GENERATIONS: '1' });
  const answer = await post(`${small}/v1/generations`, CARD);
  expect(answer.status).toBe(503);
  expect(answer.json).toMatchObject({ code: 'queue_full', retryable: true });
  expect(answer.headers['retry-after']).toBe('30');
});

test('Prefer: wait answers with the end when it comes in time, and with 202 when it does not', async () => {
  const slow = await post(`${api}/v1/generations`, CARD, { Prefer: 'wait=1' });
  expect(slow.status).toBe(202);
  expect(slow.headers['preference-applied']).toBe('wait=1');

  const metadata = { probe: 'wait' };
  const waiting = post(`${api}/v1/generations`, { ...CARD, metadata }, { Prefer: 'wait=20' });
  const id = await untilFound(metadata.probe);
  const startedAt = Date.now();
  await call(`${api}/v1/generations/${id}/cancel`, { method: 'POST' });
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect(answer.json).toMatchObject({ id, status: 'CANCELLED' });
  expect(Date.now() - startedAt).toBeLessThan(1_500); // by notification, not by the safety look
});

test('Prefer: wait beyond 60 seconds counts as 60', async () => {
  const metadata = { probe: 'long wait' };
  const waiting = post(`${api}/v1/generations`, { ...CARD, metadata }, { Prefer: 'respond-async, wait=600' });
  const id = await untilFound(metadata.probe);
  await call(`${api}/v1/generations/${id}/cancel`, { method: 'POST' });
  const answer = await waiting;
  expect([answer.status, answer.headers['preference-applied']]).toEqual([200, 'wait=60']);
});

test('a Prefer header that means nothing here is ignored', async () => {
  for (const prefer of ['wait=0', 'wait=abc', 'respond-async', 'wait=-1']) {
    const answer = await post(`${api}/v1/generations`, CARD, { Prefer: prefer });
    expect(answer.status).toBe(202);
    expect(answer.headers['preference-applied']).toBeUndefined();
  }
});

async function untilFound(probe: string): Promise<string> {
  for (;;) {
    const rows = await setting.database.selectFrom('generations').select(['id', 'metadata']).execute();
    const found = rows.find(({ metadata }) => metadata['probe'] === probe);
    if (found !== undefined) return found.id;
  }
}
