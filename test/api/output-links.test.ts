import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { until } from '../support/until.js';
import { NOWHERE, accept, call, createTestSetting } from './support/start-test-api.js';
import type { Call, TestSetting } from './support/start-test-api.js';

const bytes = randomBytes(50_000);
const sha256 = createHash('sha256').update(bytes).digest('hex');
const FIVE_MINUTES_MS = 300_000;

let setting: TestSetting;
let plain: string;
let api: string;
let id: string;

beforeAll(async () => {
  setting = await createTestSetting();
  plain = await setting.startApi();
  api = await setting.startApi({ S3_PUBLIC_ENDPOINT: setting.storage.endpoint.href });
  id = await accept(api);
  await store(id, true);
}, 60_000);
afterAll(async () => setting.release());

async function store(generationId: string, isStored: boolean) {
  const folder = await mkdtemp(join(tmpdir(), 'output-links-'));
  const path = join(folder, 'file');
  await writeFile(path, bytes);
  const object_key = `jobs/${generationId}/image_0.png`;
  // The object itself says another type: what the link pins counts.
  const upload = { path, bytes: bytes.length, sha256, mediaType: 'application/octet-stream', metadata: {} };
  if (isStored) await setting.store.putFile(object_key, { ...upload, condition: { kind: 'always' } });
  await rm(folder, { recursive: true });
  const facts = { kind: 'image', media_type: 'image/png', bytes: bytes.length, sha256, is_flat: false } as const;
  const place = { generation_id: generationId, index: 0, object_key, width_px: 8, height_px: 8 };
  await setting.database
    .insertInto('outputs')
    .values({ ...facts, ...place })
    .execute();
}

const output = (base: string, query = '', request: Call = {}) =>
  call(`${base}/v1/generations/${id}/outputs/0${query}`, request);

async function link(base = api, query = ''): Promise<{ readonly url: string; readonly expiresAt: string }> {
  const { status, json } = await call(`${base}/v1/generations/${id}/outputs/0/link${query}`);
  expect(status).toBe(200);
  return { url: String(json['url']), expiresAt: String(json['expiresAt']) };
}

describe('R3.3 a link into the object store', () => {
  test('delivers the file to anybody, as the type and under the name that it pins', async () => {
    const { url } = await link();
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
    expect(response.headers.get('content-type')).toBe('image/png');
    expect(response.headers.get('content-disposition')).toBe(`attachment; filename="${id}_0.png"`);
  });

  test('takes ranges', async () => {
    const response = await fetch((await link()).url, { headers: { range: 'bytes=100-199' } });
    expect([response.status, response.headers.get('content-range')]).toEqual([206, `bytes 100-199/${bytes.length}`]);
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes.subarray(100, 200))).toBe(true);
  });

  test('is valid for five minutes, and that is what it says', async () => {
    const { url, expiresAt } = await link();
    expect(new URL(url).searchParams.get('X-Amz-Expires')).toBe('300');
    const leftMs = new Date(expiresAt).getTime() - Date.now();
    expect(leftMs).toBeGreaterThan(FIVE_MINUTES_MS - 10_000);
    expect(leftMs).toBeLessThanOrEqual(FIVE_MINUTES_MS);
  });

  test('is of no use when it has expired', async () => {
    const brief = await setting.startApi({
      ...{ S3_PUBLIC_ENDPOINT: setting.storage.endpoint.href, DOWNLOAD_LINK_SECONDS: '1' },
    });
    const { url, expiresAt } = await link(brief);
    await until('the link is refused', async () => (await fetch(url)).status === 403, 4_000);
    expect(Date.now()).toBeGreaterThanOrEqual(new Date(expiresAt).getTime());
  });

  test.each([
    ['another object', (url: URL) => (url.pathname = url.pathname.replace('image_0', 'image_1'))],
    ['another type', (url: URL) => url.searchParams.set('response-content-type', 'text/html')],
    ['another disposition', (url: URL) => url.searchParams.set('response-content-disposition', 'inline')],
    ['no disposition', (url: URL) => url.searchParams.delete('response-content-disposition')],
    ['a longer life', (url: URL) => url.searchParams.set('X-Amz-Expires', '604800')],
    ['a later date', (url: URL) => url.searchParams.set('X-Amz-Date', '20991231T000000Z')],
    ['another signature', (url: URL) => url.searchParams.set('X-Amz-Signature', '0'.repeat(64))],
  ])('that is changed to %s is refused', async (_change, change) => {
    const url = new URL((await link()).url);
    change(url);
    const response = await fetch(url);
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(await response.text()).not.toContain(bytes.toString('latin1').slice(0, 20));
  });

  test('can neither write nor remove', async () => {
    const { url } = await link();
    for (const method of ['PUT', 'DELETE', 'POST']) {
      const body = method === 'DELETE' ? {} : { body: 'other' };
      expect((await fetch(url, { method, ...body })).status).toBeGreaterThanOrEqual(400);
    }
    expect(await setting.store.facts(`jobs/${id}/image_0.png`)).toMatchObject({ sha256 });
  });

  test('is kept in no row, and no answer of the generation shows it', async () => {
    await link();
    const { text } = await call(`${api}/v1/generations/${id}`);
    expect(text).not.toContain('X-Amz');
    const { rows } = await sql<{ all: string }>`SELECT database_to_xml(true, false, '')::text AS all`.execute(
      setting.database,
    );
    expect(rows[0]?.all).toContain(id);
    expect(rows[0]?.all).not.toContain('X-Amz');
  });

  test('to a file that is gone is not given', async () => {
    const lost = await accept(api);
    await store(lost, false);
    for (const path of ['0/link', '0?redirect=true']) {
      const { status, json } = await call(`${api}/v1/generations/${lost}/outputs/${path}`);
      expect([status, json['code']]).toEqual([410, 'output_gone']);
    }
  });

  test.each(['1/link', 'x/link'])('to outputs/%s, which does not exist, is not given', async (path) => {
    const { status, json } = await call(`${api}/v1/generations/${id}/outputs/${path}`);
    expect([status, json['code']]).toEqual([404, 'output_not_found']);
  });

  test('bears the public address of the store, whatever the address is by which this service reaches it', async () => {
    const elsewhere = await setting.startApi({ S3_PUBLIC_ENDPOINT: 'https://files.example.com' });
    const { url } = await link(elsewhere);
    expect(url).toMatch(new RegExp(`^https://files.example.com/${setting.storage.bucket}/jobs/${id}/image_0.png\\?`));
  });

  test('is not cached', async () => {
    const { headers } = await call(`${api}/v1/generations/${id}/outputs/0/link`);
    expect(headers['cache-control']).toBe('no-store');
  });

  test('while the store is away the caller is told to come back', async () => {
    const env = { S3_ENDPOINT: `http://${NOWHERE}`, S3_PUBLIC_ENDPOINT: setting.storage.endpoint.href };
    const { status, json } = await call(`${await setting.startApi(env)}/v1/generations/${id}/outputs/0/link`);
    expect([status, json['code']]).toEqual([503, 'storage_unavailable']);
  });
});

describe('?redirect=true', () => {
  test('leads to the store, and clients that follow get the file', async () => {
    const { status, headers, text } = await output(api, '?redirect=true');
    expect(status).toBe(302);
    expect(String(headers['location'])).toContain('X-Amz-Signature=');
    expect([headers['cache-control'], headers['etag']]).toEqual(['no-store', undefined]);
    expect(text).not.toContain('<html');
    const followed = await fetch(`${api}/v1/generations/${id}/outputs/0?redirect=true`);
    expect(Buffer.from(await followed.arrayBuffer()).equals(bytes)).toBe(true);
  });

  test('does not lead who has the file already, or asks for its head only', async () => {
    const current = await output(api, '?redirect=true', { headers: { 'if-none-match': `"${sha256}"` } });
    const head = await output(api, '?redirect=true', { method: 'HEAD' });
    expect([current.status, head.status]).toEqual([304, 200]);
  });

  test.each(['', '?redirect=false', '?other=true'])(
    'without it (%s) this service delivers the file itself',
    async (query) => {
      const { status, headers } = await output(api, query);
      expect([status, headers['content-length'], headers['etag']]).toEqual([200, String(bytes.length), `"${sha256}"`]);
    },
  );

  test.each(['?redirect=yes', '?redirect=', '?redirect=true&redirect=true'])('%s is refused by name', async (query) => {
    const { status, json } = await output(api, query);
    expect([status, json['code']]).toEqual([400, 'invalid_query']);
    expect(json['detail']).toMatch(/^\?redirect /);
  });
});

describe('without S3_PUBLIC_ENDPOINT', () => {
  test('every file comes from this service', async () => {
    const { status, headers } = await output(plain, '?redirect=true');
    expect([status, headers['content-length']]).toEqual([200, String(bytes.length)]);
  });

  test('there are no links, and the answer says how to have them', async () => {
    const { status, json } = await call(`${plain}/v1/generations/${id}/outputs/0/link`);
    expect([status, json['code']]).toEqual([404, 'download_links_disabled']);
    expect(json['remedy']).toContain('S3_PUBLIC_ENDPOINT');
  });
});

describe('?filename=', () => {
  const query = (filename: string) => `?filename=${encodeURIComponent(filename)}`;

  test.each([
    ['sunset', 'filename="sunset.png"'],
    ['Sunset.PNG', 'filename="Sunset.PNG"'],
    ['two words', 'filename="two words.png"'],
    ['setup.exe', 'filename="setup.exe.png"'],
    ['закат', `filename="_____.png"; filename*=UTF-8''%D0%B7%D0%B0%D0%BA%D0%B0%D1%82.png`],
    ['🎨', `filename="_.png"; filename*=UTF-8''%F0%9F%8E%A8.png`],
    ['100%', `filename="100_.png"; filename*=UTF-8''100%25.png`],
    ['"a"; b=c', `filename="_a_; b=c.png"; filename*=UTF-8''%22a%22%3B%20b%3Dc.png`],
    [`it's (*)`, `filename="it's (*).png"`],
    [`l’été's (*)`, `filename="l__t_'s (*).png"; filename*=UTF-8''l%E2%80%99%C3%A9t%C3%A9%27s%20%28%2A%29.png`],
  ])('%s is what browsers call the file, from here and from the store', async (filename, expected) => {
    const { headers } = await output(api, query(filename));
    expect(headers['content-disposition']).toBe(`inline; ${expected}`);
    const response = await fetch((await link(api, query(filename))).url);
    expect([response.status, response.headers.get('content-disposition')]).toEqual([200, `attachment; ${expected}`]);
  });

  test.each(['', 'a/b', 'a\\b', 'a\r\nSet-Cookie: x', 'a\u0000', 'gnp.\u202Eexe', 'x'.repeat(151)])(
    '%j is refused',
    async (filename) => {
      const { status, json, headers } = await output(api, query(filename));
      expect([status, json['code']]).toEqual([400, 'invalid_query']);
      expect(json['detail']).toMatch(/^\?filename /);
      expect(headers['set-cookie']).toBeUndefined();
    },
  );
});
