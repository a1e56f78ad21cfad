import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pLimit from 'p-limit';
import { badClips } from '../support/bad-bytes/bad-clips.js';
import { seeds } from '../support/bad-bytes/bad-file.js';
import type { BadFile } from '../support/bad-bytes/bad-file.js';
import { badPictures, noisePng } from '../support/bad-bytes/bad-pictures.js';
import { badTransfers } from '../support/bad-bytes/bad-transfers.js';
import { FFMPEG_PATH } from '../support/ffmpeg.js';
import { createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

const SEEDS = seeds(20);
/** What is wrong with an output only because something else was asked: nobody has asked anything of a file that is brought. */
const ONLY_OF_OUTPUTS = ['wrong_size', 'wrong_frames', 'wrong_duration', 'wrong_type', 'flat', 'noise', 'no_sound'];
/** A file that drips is given up after a minute; so many wait at a time. */
const AT_ONCE = 8;
const END_MS = 5 * 60_000;

const folder = mkdtempSync(join(tmpdir(), 'bad-input-urls-'));
let corpus: readonly BadFile[];
let server: Server;
let setting: TestSetting;
let api: string;

beforeAll(async () => {
  const png = await noisePng();
  corpus = [...(await badPictures(SEEDS)), ...badClips(folder, SEEDS), ...badTransfers(png, SEEDS)];
  server = createServer((request, response) => {
    const bad = corpus[Number(request.url?.slice(1))];
    if (bad === undefined) throw new TypeError(`${request.url ?? ''} is none of the corpus`);
    const body = bad.body(png);
    if (bad.send === undefined) response.writeHead(200, bad.headers ?? {}).end(body);
    else bad.send({ outgoing: response, body, contentType: 'image/png' }, 0);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  setting = await createTestSetting();
  const ports = `443,${String((server.address() as AddressInfo).port)}`;
  api = await setting.startApi({
    ...{ INPUT_URLS: 'http', INPUT_URL_NETWORKS: '127.0.0.1/32', INPUT_URL_PORTS: ports },
    FFMPEG_PATH,
  });
}, 120_000);

afterAll(async () => {
  await setting.release();
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

const isBad = ({ faults, kind }: BadFile): boolean =>
  kind !== undefined || faults.some((fault) => !ONLY_OF_OUTPUTS.includes(fault));

async function asked(
  bad: BadFile,
): Promise<{ readonly name: string; readonly status: number; readonly code: unknown }> {
  const graph = {
    '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
    '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' } },
  };
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/${String(corpus.indexOf(bad))}`;
  const { status, json } = await post(`${api}/v1/generations`, { graph, images: { 'a.png': url } });
  return { name: bad.name, status, code: json['code'] ?? null };
}

test(
  'A8 a file behind an address of the caller that is damaged, or does not arrive whole, is refused before anything is accepted',
  async () => {
    const limit = pLimit(AT_ONCE);
    const items = corpus.filter(isBad);
    expect(items.length).toBeGreaterThan(200);
    const before = process.memoryUsage().rss;
    const answers = await Promise.all(items.map(async (bad) => limit(async () => asked(bad))));
    expect(answers.filter(({ status, code }) => status !== 422 || code !== 'input_unusable')).toEqual([]);
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 ** 2);
    expect(await setting.database.selectFrom('generations').selectAll().execute()).toEqual([]);
    expect(await setting.database.selectFrom('uploads').selectAll().execute()).toEqual([]);
    expect(await setting.store.keysUnder('')).toEqual([]);
  },
  END_MS,
);

test('A8 what would be wrong of an output only may be brought: it becomes an upload of what it is', async () => {
  const items = corpus.filter((bad) => !isBad(bad));
  expect(items.map(({ name }) => name)).toEqual(expect.arrayContaining(['a JPEG', 'all black', '1 × 1']));
  const pictures = items.filter(({ template }) => template.endsWith('-picture'));
  for (const bad of pictures) expect(await asked(bad)).toEqual({ name: bad.name, status: 202, code: null });
  const uploads = await setting.database.selectFrom('uploads').select(['kind', 'media_type']).execute();
  expect(uploads).toContainEqual({ kind: 'image', media_type: 'image/jpeg' });
}, 60_000);
