import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { call, createTestSetting, post } from './support/start-test-api.js';
import type { Answer, TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi({ S3_PUBLIC_ENDPOINT: setting.storage.endpoint.href, MAX_UPLOAD_BYTES: '1000000' });
}, 60_000);
afterAll(async () => setting.release());

const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
const picture = async (): Promise<Buffer> =>
  sharp({ create: { width: 300, height: 200, channels: 3, background: '#000', noise } })
    .png()
    .toBuffer();

const announce = async (bytes: number, base = api): Promise<Answer> => post(`${base}/v1/uploads`, { bytes });
const complete = async (id: unknown): Promise<Answer> =>
  call(`${api}/v1/uploads/${String(id)}/complete`, { method: 'POST' });

/** As a page or a program of a caller does it: to the store, and not to this service. */
async function send({ json }: Answer, bytes: Buffer): Promise<number> {
  const { url, fields } = json['form'] as { readonly url: string; readonly fields: Readonly<Record<string, string>> };
  expect(new URL(url).host).toBe(setting.storage.endpoint.host);
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append('file', new Blob([new Uint8Array(bytes)]), 'photo.png');
  return (await fetch(url, { method: 'POST', body: form })).status;
}

describe('A file that is sent to the object store itself', () => {
  test('is decoded before anything uses it, and then like any other', async () => {
    const bytes = await picture();
    const announced = await announce(bytes.length);
    expect(announced.json).toMatchObject({ status: 'waiting', bytes: bytes.length, kind: null, sha256: null });
    const { id } = announced.json;
    expect(await send(announced, bytes)).toBeLessThan(300);
    const graph = {
      '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
      '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' } },
    };
    const request = { graph, images: { 'a.png': id } };
    expect((await post(`${api}/v1/generations`, request)).json['code']).toBe('input_unusable');
    const done = await complete(id);
    expect(done.status).toBe(200);
    expect(done.json).toMatchObject({
      id,
      status: 'ready',
      kind: 'image',
      width: 300,
      height: 200,
      bytes: bytes.length,
    });
    expect((await post(`${api}/v1/generations`, request)).status).toBe(202);
    expect(await setting.store.keysUnder('uploads/incoming/')).toEqual([]);
    expect((await complete(id)).json).toEqual(done.json);
  });

  test('is refused by the store itself when it is larger or smaller than announced', async () => {
    const announced = await announce(5_000);
    expect(await send(announced, Buffer.alloc(5_001))).toBeGreaterThanOrEqual(400);
    expect(await send(announced, Buffer.alloc(4_999))).toBeGreaterThanOrEqual(400);
    const { status, json } = await complete(announced.json['id']);
    expect([status, json['detail']]).toEqual([422, 'The file has not arrived in the object store.']);
  });

  test('may be sent again when it was no picture', async () => {
    const bytes = await picture();
    const announced = await announce(bytes.length);
    await send(announced, Buffer.alloc(bytes.length, 7));
    expect((await complete(announced.json['id'])).json['code']).toBe('invalid_upload');
    await send(announced, bytes);
    expect((await complete(announced.json['id'])).json['status']).toBe('ready');
  });

  test('may not have more bytes than any upload', async () => {
    const { status, json } = await announce(1_000_001);
    expect([status, json['code']]).toEqual([413, 'body_too_large']);
  });

  test.each([[{}], [{ bytes: 0 }], [{ bytes: 1.5 }], [{ bytes: 10, name: 'x' }]])('%j is refused', async (body) => {
    const { status, json } = await post(`${api}/v1/uploads`, body);
    expect([status, json['code']]).toEqual([422, 'invalid_request']);
  });

  test('is not announced where callers do not reach the store', async () => {
    const plain = await setting.startApi();
    const { status, json } = await announce(100, plain);
    expect([status, json['code']]).toEqual([404, 'download_links_disabled']);
    expect(json['remedy']).toMatch(/multipart/);
  });

  test('that was never announced is not found', async () => {
    const { status, json } = await complete(`upl_${'0'.repeat(32)}`);
    expect([status, json['code']]).toEqual([404, 'upload_not_found']);
  });
});
