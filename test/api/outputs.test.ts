import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { OutputKind } from '../../workflows/contracts/generation.js';
import { NOWHERE, accept, call, createTestSetting } from './support/start-test-api.js';
import type { Call, TestSetting } from './support/start-test-api.js';

const bytes = randomBytes(200_000);
const sha256 = createHash('sha256').update(bytes).digest('hex');

let setting: TestSetting;
let api: string;
let id: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
  id = await accept(api);
  await store(id, { key: `jobs/${id}/image_0.png`, isStored: true });
}, 60_000);
afterAll(async () => setting.release());

interface Stored {
  readonly key: string;
  readonly isStored: boolean;
  readonly kind?: OutputKind;
  readonly mediaType?: string;
}

async function store(generationId: string, object: Stored) {
  const { kind = 'image', mediaType = 'image/png' } = object;
  const folder = await mkdtemp(join(tmpdir(), 'api-outputs-'));
  const path = join(folder, 'file');
  await writeFile(path, bytes);
  const upload = { path, bytes: bytes.length, sha256, mediaType, metadata: {} };
  if (object.isStored) await setting.store.putFile(object.key, { ...upload, condition: { kind: 'always' } });
  await rm(folder, { recursive: true });
  const facts = { kind, media_type: mediaType, bytes: bytes.length, sha256, is_flat: false };
  await setting.database
    .insertInto('outputs')
    .values({ ...facts, generation_id: generationId, index: 0, object_key: object.key, width_px: 8, height_px: 8 })
    .execute();
}

const get = async (request: Call = {}) => call(`${api}/v1/generations/${id}/outputs/0`, request);

async function bodyOf(headers: Readonly<Record<string, string>>): Promise<Buffer> {
  const response = await fetch(`${api}/v1/generations/${id}/outputs/0`, { headers: { ...headers } });
  return Buffer.from(await response.arrayBuffer());
}

test('the generation links its outputs and the link delivers exactly the stored bytes', async () => {
  const { json } = await call(`${api}/v1/generations/${id}`);
  expect(json['outputs']).toEqual([
    {
      ...{ index: 0, kind: 'image', mediaType: 'image/png', bytes: bytes.length, sha256, width: 8, height: 8 },
      ...{
        frames: null,
        durationSeconds: null,
        isFlat: false,
        expiredAt: null,
        url: `/v1/generations/${id}/outputs/0`,
      },
    },
  ]);
  expect((await bodyOf({})).equals(bytes)).toBe(true);
});

test('a file is served so that a browser neither guesses nor runs it', async () => {
  const { status, headers } = await get();
  expect(status).toBe(200);
  expect(headers).toMatchObject({
    'content-type': 'image/png',
    'content-length': String(bytes.length),
    'accept-ranges': 'bytes',
    'content-disposition': `inline; filename="${id}_0.png"`,
    'content-security-policy': 'sandbox',
    'x-content-type-options': 'nosniff',
    'cache-control': 'private, max-age=31536000, immutable',
    etag: `"${sha256}"`,
  });
});

test.each([
  ['video', 'video/mp4', 'mp4', 'inline'],
  ['audio', 'audio/flac', 'flac', 'inline'],
  ['text', 'text/plain; charset=utf-8', 'txt', 'inline'],
  ['latent', 'application/octet-stream', 'latent', 'attachment'],
  ['file', 'application/octet-stream', 'bin', 'attachment'],
] as const)('R3.1 %s of the type %s is delivered as what it is', async (...[kind, mediaType, ending, disposition]) => {
  const other = await accept(api);
  await store(other, { key: `jobs/${other}/${kind}_0.${ending}`, isStored: true, kind, mediaType });
  const { status, headers } = await call(`${api}/v1/generations/${other}/outputs/0`);
  expect(status).toBe(200);
  expect(headers).toMatchObject({
    ...{ 'content-type': mediaType, 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox' },
    'content-disposition': `${disposition}; filename="${other}_0.${ending}"`,
  });
});

test('HEAD answers what GET would, without bytes', async () => {
  const { status, headers, text } = await get({ method: 'HEAD' });
  expect([status, headers['content-length'], headers['etag'], text]).toEqual([
    200,
    String(bytes.length),
    `"${sha256}"`,
    '',
  ]);
});

describe('ranges', () => {
  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-199', 100, 200],
    ['bytes=199990-', 199_990, 200_000],
    ['bytes=-10', 199_990, 200_000],
    ['bytes=199999-999999', 199_999, 200_000],
    ['bytes=-999999', 0, 200_000],
  ])('%s delivers that part', async (range, from, to) => {
    const answer = await get({ headers: { range } });
    expect(answer.status).toBe(206);
    expect(answer.headers['content-range']).toBe(`bytes ${from}-${to - 1}/${bytes.length}`);
    expect(answer.headers['content-length']).toBe(String(to - from));
    expect((await bodyOf({ range })).equals(bytes.subarray(from, to))).toBe(true);
  });

  test.each(['bytes=200000-', 'bytes=200000-200001', 'bytes=-0'])('%s lies outside', async (range) => {
    const answer = await get({ headers: { range } });
    expect(answer.status).toBe(416);
    expect(answer.json['code']).toBe('range_not_satisfiable');
    expect(answer.headers['content-range']).toBe(`bytes */${bytes.length}`);
    expect(answer.headers['etag']).toBeUndefined();
  });

  test.each(['bytes=0-1,5-6', 'items=0-1', 'bytes=5-1', 'bytes=-', 'nonsense'])(
    '%s is answered with all',
    async (range) => {
      const answer = await get({ headers: { range } });
      expect([answer.status, answer.headers['content-length']]).toEqual([200, String(bytes.length)]);
    },
  );

  test('If-Range with another file, a weak tag or a date ignores the range', async () => {
    const statusWith = async (tag: string) => (await get({ headers: { range: 'bytes=0-9', 'if-range': tag } })).status;
    expect(await statusWith(`"${sha256}"`)).toBe(206);
    for (const tag of ['"other"', `W/"${sha256}"`, sha256, new Date().toUTCString()]) {
      expect([tag, await statusWith(tag)]).toEqual([tag, 200]);
    }
  });

  test('a part is guarded like the whole', async () => {
    const { headers } = await get({ headers: { range: 'bytes=0-9' } });
    expect(headers).toMatchObject({
      ...{ 'content-type': 'image/png', 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox' },
      ...{ 'content-disposition': `inline; filename="${id}_0.png"`, etag: `"${sha256}"`, 'accept-ranges': 'bytes' },
    });
  });

  test('what the caller has already is not sent in part either', async () => {
    const answer = await get({ headers: { range: 'bytes=0-9', 'if-none-match': `"${sha256}"` } });
    expect([answer.status, answer.text]).toEqual([304, '']);
  });
});

test.each([`"${'x'}", "SHA"`, 'W/"SHA"', '*'])('If-None-Match: %s is answered with 304', async (tags) => {
  const answer = await get({ headers: { 'if-none-match': tags.replace('SHA', sha256) } });
  expect([answer.status, answer.text, answer.headers['etag']]).toEqual([304, '', `"${sha256}"`]);
});

test.each(['1', '-1', 'x', '00000', '99999999999'])('the number %s names no output', async (index) => {
  const answer = await call(`${api}/v1/generations/${id}/outputs/${index}`);
  expect([answer.status, answer.json['code']]).toEqual([404, 'output_not_found']);
});

test('an output whose file is gone is answered with 410, and not cached', async () => {
  const lost = await accept(api);
  await store(lost, { key: `jobs/${lost}/image_0.png`, isStored: false });
  for (const method of ['GET', 'HEAD'] as const) {
    const answer = await call(`${api}/v1/generations/${lost}/outputs/0`, { method });
    expect(answer.status).toBe(410);
    expect(answer.headers['cache-control']).toBeUndefined();
  }
  const answer = await call(`${api}/v1/generations/${lost}/outputs/0`);
  expect(answer.json['code']).toBe('output_gone');
});

test('while the object store is away the caller is told to come back', async () => {
  const cut = await setting.startApi({ S3_ENDPOINT: `http://${NOWHERE}` });
  const answer = await call(`${cut}/v1/generations/${id}/outputs/0`);
  expect([answer.status, answer.json['code']]).toEqual([503, 'storage_unavailable']);
});

test('a caller who goes away in the middle harms nobody', async () => {
  for (let round = 0; round < 20; round += 1) {
    const going = new AbortController();
    const response = await fetch(`${api}/v1/generations/${id}/outputs/0`, { signal: going.signal });
    expect(response.status).toBe(200);
    going.abort();
  }
  expect((await bodyOf({})).equals(bytes)).toBe(true);
});
