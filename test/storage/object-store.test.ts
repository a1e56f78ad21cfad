import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ObjectStoreError } from '../../activities/storage/errors.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { FileUpload, ObjectStore } from '../../activities/storage/object-store.js';
import { createTestBucket } from '../support/stack.js';

const MIB = 1024 ** 2;
/** Characters that URLs, signatures, XML or file systems treat in a special way. */
const NAMES = [
  'with spaces',
  'снимок 🎨',
  '100%',
  '%41%2F',
  'a&b=c;d',
  '1+1',
  `"double" and 'single'`,
  '<x>',
  "(a)*!'~",
];

let store: ObjectStore;
let folder: string;
let files = 0;
beforeAll(async () => {
  store = createObjectStore(await createTestBucket());
  folder = mkdtempSync(join(tmpdir(), 'object-store-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function buildUpload(bytes: Buffer, facts: Partial<FileUpload> = {}): FileUpload {
  files += 1;
  const path = join(folder, String(files)); // its own: an upload that was refused may still be reading
  writeFileSync(path, bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return {
    ...{ path, bytes: bytes.length, sha256, mediaType: 'image/png' },
    ...{ metadata: { submission: '3' }, condition: { kind: 'always' }, ...facts },
  };
}

async function hashOf(stream: Readable) {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest('hex') };
}

async function textOf(stream: Readable): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

const codeOf = async (call: Promise<unknown>) =>
  call.then(
    () => 'no error',
    (error: unknown) => (error instanceof ObjectStoreError ? error.code : error),
  );

describe('Documents', () => {
  test('come back as they were written, with the ETag of the write', async () => {
    const value = { text: 'снимок', list: [1, 2.5, null] };
    const written = await store.writeJson('documents/a.json', value, { kind: 'always' });
    expect(written).toEqual({ ok: true, etag: expect.any(String) });
    expect(await store.readJson('documents/a.json')).toEqual({ value, etag: written.ok ? written.etag : '' });
  });

  test('that are not there are null, in a folder that is and in one that is not', async () => {
    expect(await store.readJson('documents/none.json')).toBeNull();
    expect(await store.readJson('nowhere/none.json')).toBeNull();
    expect(await store.facts('nowhere/none.json')).toBeNull();
  });

  test('If-None-Match: twenty writers at once, and one of them has written', async () => {
    const writes = Array.from({ length: 20 }, async (_, writer) =>
      store.writeJson('documents/race.json', { writer }, { kind: 'absent' }),
    );
    const results = await Promise.all(writes);
    const winners = results.flatMap(({ ok }, writer) => (ok ? [writer] : []));
    expect(winners).toHaveLength(1);
    expect(await store.readJson('documents/race.json')).toMatchObject({ value: { writer: winners[0] } });
  });

  test('If-Match: one of twenty that have read the same has written, and the old ETag is of no use any more', async () => {
    const first = await store.writeJson('documents/match.json', { round: 0 }, { kind: 'absent' });
    const condition = { kind: 'matches', etag: first.ok ? first.etag : '' } as const;
    const writes = Array.from({ length: 20 }, async (_, writer) =>
      store.writeJson('documents/match.json', { writer }, condition),
    );
    const winners = (await Promise.all(writes)).flatMap(({ ok }, writer) => (ok ? [writer] : []));
    expect(winners).toHaveLength(1);
    expect(await store.writeJson('documents/match.json', { late: true }, condition)).toEqual({ ok: false });
    expect(await store.readJson('documents/match.json')).toMatchObject({ value: { writer: winners[0] } });
  });

  test('If-Match on what is not there writes nothing', async () => {
    const condition = { kind: 'matches', etag: 'd41d8cd98f00b204e9800998ecf8427e' } as const;
    expect(await store.writeJson('documents/absent.json', {}, condition)).toEqual({ ok: false });
    expect(await store.readJson('documents/absent.json')).toBeNull();
  });
});

describe('Files', () => {
  test('size, type, checksum and metadata are kept', async () => {
    const upload = buildUpload(randomBytes(100_000));
    const written = await store.putFile('files/a.png', upload);
    expect(await store.facts('files/a.png')).toEqual({
      ...{ bytes: upload.bytes, sha256: upload.sha256, mediaType: 'image/png', metadata: { submission: '3' } },
      etag: written.ok ? written.etag : '',
    });
  });

  test('bytes that do not have the checksum are refused, and nothing is visible', async () => {
    const sha256 = createHash('sha256').update('other').digest('hex');
    expect(await codeOf(store.putFile('files/wrong.png', buildUpload(Buffer.from('these!'), { sha256 })))).toEqual(
      expect.any(String),
    );
    expect(await store.facts('files/wrong.png')).toBeNull();
  });

  test('that have grown since they were counted do not spill into the next request', async () => {
    const counted = buildUpload(Buffer.from('12345'));
    appendFileSync(counted.path, '6789');
    for (let round = 0; round < 5; round += 1) {
      expect(await store.putFile('files/grown', counted)).toMatchObject({ ok: true });
      expect(await textOf(await store.open('files/grown'))).toBe('12345');
    }
  });

  test('a condition that does not hold changes nothing', async () => {
    const first = await store.putFile(
      'files/b.png',
      buildUpload(Buffer.from('first'), { condition: { kind: 'absent' } }),
    );
    const etag = first.ok ? first.etag : '';
    const refused = await store.putFile(
      'files/b.png',
      buildUpload(Buffer.from('again'), { condition: { kind: 'absent' } }),
    );
    expect(refused).toEqual({ ok: false });
    expect(await textOf(await store.open('files/b.png'))).toBe('first');
    const next = buildUpload(Buffer.from('second'), { condition: { kind: 'matches', etag } });
    expect(await store.putFile('files/b.png', next)).toMatchObject({ ok: true });
    expect(await store.putFile('files/b.png', next)).toEqual({ ok: false });
    expect(await textOf(await store.open('files/b.png'))).toBe('second');
  });

  test.each([
    [{ offset: 0, length: 1 }, '0'],
    [{ offset: 3, length: 4 }, '3456'],
    [{ offset: 9, length: 1 }, '9'],
    [{ offset: 0, length: 10 }, '0123456789'],
  ])('%j is that part', async (range, part) => {
    await store.putFile('files/digits', buildUpload(Buffer.from('0123456789')));
    expect(await textOf(await store.open('files/digits', range))).toBe(part);
  });

  test('that are not there cannot be opened, and the code says so', async () => {
    expect(await codeOf(store.open('files/none.png'))).toBe('NoSuchKey');
    expect(await codeOf(store.open('files/none.png', { offset: 0, length: 1 }))).toBe('NoSuchKey');
  });

  test('64 MiB are streamed both ways: the process does not grow by them', async () => {
    const upload = buildUpload(randomBytes(64 * MIB));
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let most = before;
    const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5);
    await store.putFile('files/large.mp4', upload);
    const back = await hashOf(await store.open('files/large.mp4'));
    clearInterval(timer);
    expect(back).toEqual({ bytes: upload.bytes, sha256: upload.sha256 });
    expect(await store.facts('files/large.mp4')).toMatchObject({ bytes: upload.bytes, sha256: upload.sha256 });
    expect((most - before) / MIB).toBeLessThan(48);
  });
});

describe('Names', () => {
  test.each(NAMES)('%s is written, found, listed and removed as it is', async (name) => {
    const key = `names/${name}/${name}.png`;
    await store.putFile(key, buildUpload(Buffer.from(name)));
    expect(await store.facts(key)).toMatchObject({ bytes: Buffer.byteLength(name) });
    expect(await textOf(await store.open(key))).toBe(name);
    expect(await store.keysUnder(`names/${name}/`)).toEqual([key]);
    await store.remove(key);
    expect(await store.facts(key)).toBeNull();
    expect(await store.keysUnder(`names/${name}/`)).toEqual([]);
  });

  test('a prefix lists what begins with it, in folders below, too, and nothing else', async () => {
    for (const key of ['list/a/1', 'list/a/b/2', 'list/ab', 'list/c']) {
      await store.putFile(key, buildUpload(Buffer.from('x')));
    }
    expect([...(await store.keysUnder('list/a/'))].sort()).toEqual(['list/a/1', 'list/a/b/2']);
    expect([...(await store.keysUnder('list/a'))].sort()).toEqual(['list/a/1', 'list/a/b/2', 'list/ab']);
    expect(await store.keysUnder('list/none/')).toEqual([]);
  });

  test('a thousand and one keys are listed, over two pages', async () => {
    const keys = Array.from({ length: 1_001 }, (_, number) => `pages/${String(number).padStart(4, '0')} +%.json`);
    const left = [...keys];
    const lane = async () => {
      for (let key = left.pop(); key !== undefined; key = left.pop()) await store.writeJson(key, 1, { kind: 'always' });
    };
    await Promise.all(Array.from({ length: 16 }, lane));
    expect([...(await store.keysUnder('pages/'))].sort()).toEqual(keys);
  });

  test('what is not there is removed already', async () => {
    await store.remove('names/never.png');
    await store.remove('nowhere/never.png');
  });
});

describe('Buckets', () => {
  test('one that is there is created again without an error, also by several at once', async () => {
    const fresh = createObjectStore({
      ...(await createTestBucket()),
      bucket: `fresh-${randomBytes(6).toString('hex')}`,
    });
    await expect(fresh.check()).rejects.toThrow(/does not exist/);
    await Promise.all(Array.from({ length: 4 }, async () => fresh.createBucketIfAbsent()));
    await fresh.createBucketIfAbsent();
    await fresh.check();
  });

  test('a wrong secret is told by its code', async () => {
    const stranger = createObjectStore({ ...(await createTestBucket()), secretAccessKey: 'wrong' });
    expect(await codeOf(stranger.readJson('documents/a.json'))).toBe('SignatureDoesNotMatch');
    expect(await codeOf(stranger.writeJson('documents/a.json', {}, { kind: 'always' }))).toBe('SignatureDoesNotMatch');
    expect(await codeOf(stranger.check())).not.toBe('no error');
  });
});
