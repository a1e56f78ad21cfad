import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { createFindOldUploads } from '../../activities/upkeep/old-uploads.js';
import { environment } from '../activities/support/activity-world.js';
import { FFMPEG_PATH } from '../support/ffmpeg.js';
import { until } from '../support/until.js';
import { call, createTestSetting, post } from './support/start-test-api.js';
import type { Answer, TestSetting } from './support/start-test-api.js';

const MAX_UPLOAD_BYTES = 200_000;
const MAX_INPUT_PIXELS = 250_000;
const DAY_MS = 24 * 60 * 60_000;

let setting: TestSetting;
let api: string;
let folder: string;

beforeAll(async () => {
  setting = await createTestSetting();
  folder = await mkdtemp(join(tmpdir(), 'templates-'));
  await writeTemplate(join(folder, 'redraw'));
  api = await setting.startApi({
    MAX_UPLOAD_BYTES: String(MAX_UPLOAD_BYTES),
    MAX_INPUT_PIXELS: String(MAX_INPUT_PIXELS),
    TEMPLATES_DIR: folder,
    FFMPEG_PATH,
  });
}, 60_000);
afterAll(async () => {
  await setting.release();
  await rm(folder, { recursive: true, force: true });
});

const png = async (widthPx = 40, heightPx = 24, seed = 1): Promise<Buffer> =>
  sharp({ create: { width: widthPx, height: heightPx, channels: 3, background: { r: seed, g: 80, b: 160 } } })
    .png()
    .toBuffer();

interface Part {
  readonly name?: string;
  readonly filename?: string | null;
  readonly bytes: Buffer | string;
}

const BOUNDARY = 'x-test-boundary';
const FORM = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };

/** Written by hand, so that it can be wrong in every way. */
function formOf(...parts: readonly Part[]): Buffer {
  const written = parts.flatMap(({ name = 'file', filename = 'a.png', bytes }) => [
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"`),
    Buffer.from(filename === null ? '\r\n\r\n' : `; filename="${filename}"\r\nContent-Type: image/png\r\n\r\n`),
    Buffer.from(bytes),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...written, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

const upload = async (...parts: readonly Part[]): Promise<Answer> =>
  call(`${api}/v1/uploads`, { method: 'POST', headers: FORM, body: formOf(...parts) });

async function idOf(bytes: Buffer): Promise<string> {
  const { status, json } = await upload({ bytes });
  expect(status).toBe(201);
  return String(json['id']);
}

describe('A file that can be decoded', () => {
  test('becomes an upload with what was found in it, under its own hash', async () => {
    const bytes = await png();
    const { status, json, headers } = await upload({ bytes, filename: '../../etc/passwd' });
    expect(status).toBe(201);
    expect(json).toMatchObject({
      ...{ status: 'ready', kind: 'image', mediaType: 'image/png', bytes: bytes.length, width: 40, height: 24 },
      id: expect.stringMatching(/^upl_[0-9a-f]{32}$/),
    });
    expect(headers['location']).toBe(json['url']);
    expect((await call(`${api}${String(json['url'])}`)).json).toEqual(json);
    expect(await setting.store.facts(`inputs/${String(json['sha256'])}.png`)).toMatchObject({ bytes: bytes.length });
  });

  test('is stored once, however often it is brought', async () => {
    const bytes = await png(32, 32, 9);
    const answers = await Promise.all([upload({ bytes }), upload({ bytes }), upload({ bytes })]);
    expect(new Set(answers.map(({ json }) => json['id'])).size).toBe(3);
    const keys = await setting.store.keysUnder('inputs/');
    expect(keys.filter((key) => key.includes(String(answers[0]?.json['sha256'])))).toHaveLength(1);
  });

  test('that a camera has turned is stored upright', async () => {
    const turned = await sharp(await png(40, 24))
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const { json } = await upload({ bytes: turned, filename: 'IMG_1.JPG' });
    expect(json).toMatchObject({ kind: 'image', mediaType: 'image/png', width: 24, height: 40 });
  });

  test('may be a sound', async () => {
    const { json } = await upload({ bytes: wav(0.5), filename: 'a.wav' });
    expect(json).toMatchObject({ kind: 'audio', mediaType: 'audio/wav', durationSeconds: 0.5, width: null });
  });
});

describe('What is refused, with nothing left behind', () => {
  test.each([
    ['no file', [], /The form has no file/],
    ['a text field', [{ name: 'file', filename: null, bytes: 'x' }], /a field "file" that is no file/],
    ['another field', [{ name: 'image', bytes: 'x' }], /a file in the field "image"/],
    ['two files', [{ bytes: 'x' }, { bytes: 'y' }], /more than one file/],
    ['an empty file', [{ bytes: '' }], /The file has no bytes/],
    ['a text', [{ bytes: 'hello, I am a picture' }], /send PNG, JPEG, WebP or GIF/],
    ['an SVG', [{ bytes: '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>' }], /send PNG, JPEG/],
  ] as const)('%s', async (_what, parts, detail) => {
    const before = await traces();
    const { status, json } = await upload(...parts);
    expect(status).toBe(422);
    expect(json).toMatchObject({ code: 'invalid_upload', detail: expect.stringMatching(detail) });
    expect(await traces()).toEqual(before);
  });

  test('a picture that is cut off, with the fault', async () => {
    const bytes = await png();
    const { status, json } = await upload({ bytes: bytes.subarray(0, bytes.length - 20) });
    expect([status, json['code']]).toEqual([422, 'invalid_upload']);
    expect(json['detail']).toMatch(/cannot be decoded: .*\(truncated\)/);
  });

  test('more pixels than allowed, and one less is taken', async () => {
    const { status, json } = await upload({ bytes: await png(501, 500) });
    expect([status, json['detail']]).toEqual([
      422,
      `The file has 250500 pixels; at most ${MAX_INPUT_PIXELS} are allowed.`,
    ]);
    expect((await upload({ bytes: await png(500, 500) })).status).toBe(201);
  });

  test('more bytes than allowed', async () => {
    const { status, json } = await upload({ bytes: Buffer.alloc(MAX_UPLOAD_BYTES + 1, 7) });
    expect([status, json['code']]).toEqual([413, 'body_too_large']);
    expect(json['remedy']).toContain('MAX_UPLOAD_BYTES');
  });

  test('a body that is no form, or one without a boundary', async () => {
    const bytes = await png();
    const raw = await call(`${api}/v1/uploads`, {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
      body: bytes,
    });
    expect([raw.status, raw.json['code']]).toEqual([415, 'unsupported_media_type']);
    const headers = { 'content-type': 'multipart/form-data; charset=utf-8' };
    const bare = await call(`${api}/v1/uploads`, { method: 'POST', headers, body: bytes });
    expect([bare.status, bare.json['code']]).toEqual([422, 'invalid_upload']);
  });

  test('a form that ends too early', async () => {
    const form = formOf({ bytes: await png() });
    const body = form.subarray(0, form.length - 60);
    const { status, json } = await call(`${api}/v1/uploads`, { method: 'POST', headers: FORM, body });
    expect([status, json['code']]).toEqual([422, 'invalid_upload']);
  });

  test('a caller who hangs up in the middle leaves nothing', async () => {
    const before = await traces();
    const { hostname, port } = new URL(api);
    const socket = connect(Number(port), hostname);
    const head = `POST /v1/uploads HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: ${FORM['content-type']}\r\nContent-Length: 90000\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), formOf({ bytes: Buffer.alloc(50_000, 1) }).subarray(0, 40_000)]));
    await until('the file is being written', async () => (await traces()).scratch > before.scratch);
    socket.destroy();
    await until('nothing is left', async () => JSON.stringify(await traces()) === JSON.stringify(before));
  });

  test('an id of none', async () => {
    const { status, json } = await call(`${api}/v1/uploads/upl_${'0'.repeat(32)}`);
    expect([status, json['code']]).toEqual([404, 'upload_not_found']);
  });
});

async function traces() {
  const rows = await setting.database
    .selectFrom('uploads')
    .select((eb) => eb.fn.countAll<string>().as('count'))
    .executeTakeFirstOrThrow();
  return {
    rows: rows.count,
    scratch: await setting.scratchEntries(),
    objects: (await setting.store.keysUnder('')).length,
  };
}

describe('A graph with files', () => {
  const graph = (name: string) => ({
    '1': { class_type: 'LoadImage', inputs: { image: name } },
    '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' } },
  });

  test('has the name replaced by the file, which is kept for the generation', async () => {
    const id = await idOf(await png(48, 48, 3));
    const accepted = await post(`${api}/v1/generations`, {
      graph: graph('my photo.png'),
      images: { 'my photo.png': id },
    });
    expect(accepted.status).toBe(202);
    const { graph_key: key } = await rowOf(accepted);
    const { json: file } = await call(`${api}/v1/uploads/${id}`);
    const stored = await setting.store.readJson(key);
    expect(stored?.value).toMatchObject({ '1': { inputs: { image: `dg/inputs/${String(file['sha256'])}.png` } } });
    const kept = setting.database.selectFrom('generation_inputs').select('sha256');
    const generationId = String(accepted.json['id']);
    expect(await kept.where('generation_id', '=', generationId).execute()).toEqual([{ sha256: file['sha256'] }]);
  });

  test('by its path of ours keeps the file, too: upkeep leaves it for as long as the generation needs it', async () => {
    const { json: file } = await upload({ bytes: await png(48, 48, 8) });
    const path = `dg/inputs/${String(file['sha256'])}.png`;
    const accepted = await post(`${api}/v1/generations`, { graph: graph(path) });
    expect(accepted.status).toBe(202);
    const [generationId, uploadId] = [String(accepted.json['id']), String(file['id'])];
    await setting.database
      .updateTable('uploads')
      .set({ used_at: new Date(Date.now() - 100 * DAY_MS) })
      .where('id', '=', uploadId)
      .execute();
    const { database } = setting;
    const found = async () => {
      const uploads = await environment().run(createFindOldUploads({ database, retentionDays: 7 }), undefined);
      return uploads.map(({ id }) => id);
    };
    expect(await found()).not.toContain(uploadId);
    const end = { status: 'CANCELLED', finished_at: new Date() } as const;
    await database.updateTable('generations').set(end).where('id', '=', generationId).execute();
    expect(await found()).toContain(uploadId);
  });

  test.each([
    ['whose file was never brought', 'b'.repeat(64), 'png'],
    ['whose file has another ending', null, 'webp'],
  ])('by a path of ours %s is refused by its place', async (_what, unknown, extension) => {
    const { json: file } = await upload({ bytes: await png(48, 48, 9) });
    const path = `dg/inputs/${unknown ?? String(file['sha256'])}.${extension}`;
    const { status, json } = await post(`${api}/v1/generations`, { graph: graph(path) });
    expect([status, json['code']]).toEqual([422, 'input_unusable']);
    const message = expect.stringContaining(`names ${path}, which is no upload that is ready`);
    expect(json['errors']).toEqual([{ pointer: '/graph/1/inputs/image', nodeId: '1', message }]);
    expect(json['remedy']).toContain('POST /v1/uploads');
  });

  test.each([
    ['an upload that does not exist', { 'a.png': `upl_${'0'.repeat(32)}` }, 'input_unusable', '/images/a.png'],
    ['a name that no node has', { 'b.png': `upl_${'0'.repeat(32)}` }, 'invalid_request', '/images/b.png'],
    ['a path instead of an upload', { 'a.png': '/etc/passwd' }, 'invalid_request', '/images/a.png'],
  ])('%s is refused by its place', async (...[, images, code, pointer]) => {
    const { status, json } = await post(`${api}/v1/generations`, { graph: graph('a.png'), images });
    expect([status, json['code']]).toEqual([422, code]);
    expect(json['errors']).toMatchObject([{ pointer }]);
  });
});

describe('A template with a picture', () => {
  const ask = async (image: string, more: object = {}) =>
    post(`${api}/v1/generations`, { template: 'redraw', parameters: { image, ...more } });

  test('takes its size from it', async () => {
    const id = await idOf(await png(50, 30, 4));
    const accepted = await ask(id, { left: 7 });
    expect(accepted.json).toMatchObject({ status: 'QUEUED', asked: { image: id, left: 7 } });
    const { workflow_input: input } = await rowOf(accepted);
    expect(input.expected).toMatchObject({ widthPx: 56, heightPx: 60 });
  });

  test('refuses another kind, and more pixels than it takes', async () => {
    const { json: sound } = await upload({ bytes: wav(0.2) });
    const other = await ask(String(sound['id']));
    expect(other.json['errors']).toMatchObject(
      [{ pointer: '/parameters/image', message: /kind image.* kind audio/ }].map(({ pointer, message }) => ({
        pointer,
        message: expect.stringMatching(message),
      })),
    );
    const large = await ask(await idOf(await png(101, 100, 5)));
    expect(large.json['detail']).toMatch(/^\/parameters\/image may have 10000 pixels, but upl_\w+ has 101×100\.$/);
  });

  test('is retried with the same file, and says so when it is gone', async () => {
    const id = await idOf(await png(20, 20, 6));
    const accepted = await ask(id);
    const generationId = String(accepted.json['id']);
    const fail = { status: 'FAILED', failure_kind: 'UNEXPECTED', finished_at: new Date() } as const;
    await setting.database.updateTable('generations').set(fail).where('id', '=', generationId).execute();
    const retried = await post(`${api}/v1/generations/${generationId}/retry`, {});
    expect(retried.json).toMatchObject({ retryOf: generationId, asked: { image: id } });
    await setting.database.deleteFrom('uploads').where('id', '=', id).execute();
    const late = await post(`${api}/v1/generations/${generationId}/retry`, {});
    expect([late.status, late.json['code']]).toEqual([410, 'input_gone']);
    const again = { failure_kind: 'NETWORK_ERROR' } as const;
    await setting.database.updateTable('generations').set(again).where('id', '=', generationId).execute();
    await setting.database
      .updateTable('generations')
      .set({ retry_of: null })
      .where('retry_of', '=', generationId)
      .execute();
    const others = await post(`${api}/api/error-recovery/jobs/retry-failed`, { max_jobs: 5 });
    expect([others.status, others.json['count']]).toEqual([202, 0]);
  });

  test('shows what it takes', async () => {
    const { json } = await call(`${api}/v1/templates/redraw`);
    expect(json['parameters']).toMatchObject({ image: { type: 'image', required: true, maxPixels: 10_000 } });
  });
});

async function rowOf({ json }: Answer) {
  const rows = setting.database.selectFrom('generations').selectAll();
  return rows.where('id', '=', String(json['id'])).executeTakeFirstOrThrow();
}

/** A quarter of a kilohertz, 8 bits. */
function wav(seconds: number): Buffer {
  const samples = Buffer.alloc(8_000 * seconds, 128).map((_, index) => (index % 32 < 16 ? 100 : 156));
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8_000, 24);
  head.writeUInt32LE(8_000, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

async function writeTemplate(target: string): Promise<void> {
  await mkdir(target);
  const graph = {
    '1': { class_type: 'LoadImage', inputs: { image: 'example.png' } },
    '2': { class_type: 'ImagePadForOutpaint', inputs: { image: ['1', 0], left: 0 } },
    '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'x' } },
  };
  const manifest = {
    ...{ title: 'Redraw', description: 'Twice as high, wider on the left.', outputs: ['3'], pool: 'default' },
    parameters: {
      image: { type: 'image', required: true, maxPixels: 10_000, bindings: [{ node: '1', input: 'image' }] },
      left: { type: 'integer', min: 0, max: 64, default: 0, bindings: [{ node: '2', input: 'left' }] },
    },
    expected: {
      width: { sum: ['image.width', 'left'], multipleOf: 8 },
      height: { sum: ['image.height'], times: 2 },
      count: null,
    },
    ...{ flatImages: 'allow', limits: {}, models: [], customNodes: [], example: { image: `upl_${'1'.repeat(32)}` } },
  };
  await writeFile(join(target, 'graph.json'), JSON.stringify(graph));
  await writeFile(join(target, 'template.json'), JSON.stringify(manifest));
}
