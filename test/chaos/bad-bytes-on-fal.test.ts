import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { SIMULATOR_KEY } from '../../infra/simulators/fal/options.js';
import { seeds } from '../support/bad-bytes/bad-file.js';
import type { BadFile } from '../support/bad-bytes/bad-file.js';
import { badPictures, noisePng } from '../support/bad-bytes/bad-pictures.js';
import { badTransfers } from '../support/bad-bytes/bad-transfers.js';
import { CORPUS_ACCOUNT, CorpusRun, inOrder, unnamed } from '../support/bad-bytes/run-corpus.js';
import type { Outcome } from '../support/bad-bytes/run-corpus.js';
import { writeStrictTemplates } from '../support/bad-bytes/strict-templates.js';
import { falEvents, startFal } from '../support/fal-process.js';
import type { FalProcess } from '../support/fal-process.js';
import { ownerOnFal, startOutputSwapper } from '../support/output-swapper.js';
import type { OutputSwapper } from '../support/output-swapper.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const CREDITS = 10_000;
const DOWNLOADS = 4;
const SEEDS = seeds(20);

const folder = mkdtempSync(join(tmpdir(), 'bad-bytes-on-fal-'));
let corpus: readonly BadFile[];
let comfyui: SimulatorProcess;
let fal: FalProcess;
let swapper: OutputSwapper;
let service: Service;
let outcomes: readonly Outcome[];

beforeAll(async () => {
  corpus = inOrder([...(await badPictures(SEEDS)), ...badTransfers(await noisePng(), SEEDS)]);
  writeStrictTemplates(folder);
  [comfyui, fal] = await Promise.all([startSimulator(), startFal({ runners: 4 })]);
  swapper = await startOutputSwapper(fal.url, corpus, ownerOnFal);
  service = await startService({
    comfyUrls: [comfyui.url],
    env: {
      ...{ TEMPLATES_DIR: folder, DOWNLOAD_TIMEOUT_SECONDS: '2' },
      ...{ FAL_KEY: SIMULATOR_KEY, FAL_QUEUE_URL: swapper.url },
    },
  });
  await service.post('/v1/accounts', { id: CORPUS_ACCOUNT });
  await service.post(`/v1/accounts/${CORPUS_ACCOUNT}/grants`, { credits: CREDITS, reference: 'start' });
  const ended = await new CorpusRun(service, swapper, { provider: 'fal' }).of(corpus);
  const requests = requestsBySeed();
  outcomes = ended.map((seen) => {
    const requestId = requests.get(Number(seen.asked['seed'])) ?? '';
    return { bad: swapper.met.get(requestId) as BadFile, seen, views: swapper.views.get(requestId) ?? 0 };
  });
}, 10 * 60_000);

afterAll(async () => {
  await service.stop(); // the checker compares store, rows and credits
  await swapper.close();
  await Promise.all([comfyui.stop(), fal.stop()]);
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

function requestsBySeed(): ReadonlyMap<number, string> {
  const place = join(fal.dataDir, 'requests');
  const requests = readdirSync(place).map((name) => JSON.parse(readFileSync(join(place, name), 'utf8')) as FalEntry);
  return new Map(requests.map(({ id, input }) => [input.seed, id]));
}

interface FalEntry {
  readonly id: string;
  readonly input: { readonly seed: number };
}

test('A8 R3.2 nothing of the corpus that fal.ai sends is delivered, and each verdict names the fault', () => {
  expect(unnamed(outcomes.filter(({ bad }) => bad.isFineOnFal !== true))).toEqual([]);
  expect(outcomes.map(({ bad }) => bad.name).sort()).toEqual(corpus.map(({ name }) => name).sort());
});

test('A8 a picture of another type than fal.ai said is delivered as what it is', () => {
  const fine = outcomes.filter(({ bad }) => bad.isFineOnFal === true).map(({ seen }) => seen);
  expect(fine).toMatchObject([{ status: 'COMPLETED', outputs: [{ mediaType: 'image/jpeg' }] }]);
});

test('A8 a file is fetched from fal.ai four times at most, and nothing is asked for, or paid, twice', () => {
  expect(outcomes.filter(({ views }) => views < 1 || views > DOWNLOADS)).toEqual([]);
  expect(falEvents(fal, 'submitted')).toHaveLength(corpus.length);
});

test('A8 R4.5 every credit of what fal.ai spoilt is given back', async () => {
  const answer = await fetch(`${service.apiUrl}/v1/accounts/${CORPUS_ACCOUNT}`);
  const delivered = outcomes.filter(({ seen }) => seen.status === 'COMPLETED').length;
  expect(await answer.json()).toMatchObject({ balance: CREDITS - delivered, held: 0 });
});
