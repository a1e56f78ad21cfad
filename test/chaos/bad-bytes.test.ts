import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { MediaFault } from '../../workflows/domain/media-signature.js';
import { memoryOf, peakMemoryOf } from '../bench/process-memory.js';
import { badClips } from '../support/bad-bytes/bad-clips.js';
import { seeds } from '../support/bad-bytes/bad-file.js';
import type { BadFile } from '../support/bad-bytes/bad-file.js';
import { badNames } from '../support/bad-bytes/bad-names.js';
import { badPictures, noisePng } from '../support/bad-bytes/bad-pictures.js';
import { badTransfers } from '../support/bad-bytes/bad-transfers.js';
import { CORPUS_ACCOUNT, CorpusRun, inOrder, unnamed } from '../support/bad-bytes/run-corpus.js';
import type { Outcome } from '../support/bad-bytes/run-corpus.js';
import { writeStrictTemplates } from '../support/bad-bytes/strict-templates.js';
import { startOutputSwapper } from '../support/output-swapper.js';
import type { OutputSwapper, Spoil } from '../support/output-swapper.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const CREDITS = 10_000;
const SEEDS = seeds(20);
/** The text alone has a gigabyte when it is unpacked, the pixels of the other bomb have 1.2. */
const MAX_GROWTH_MIB = 256;
/** What a second transfer may cure is transferred again three times. */
const DOWNLOADS = 4;
/**
 * The count goes from try to try in the heartbeat's details. A heartbeat whose call fails is lost, and costs one transfer
 * more, never a rendering; one moment in which the server answers nobody may cost that to each of the four that run.
 */
const MAX_LOST_COUNTS = 4;

const TRANSFER: readonly MediaFault[] = [
  ...(['truncated', 'undecodable', 'trailing_bytes', 'unknown_signature', 'empty', 'no_frames'] as const),
  'transfer_failed',
];

const folder = mkdtempSync(join(tmpdir(), 'bad-bytes-'));
const PAGES = 2;
/** What a proxy says that wants a login, and then no longer. */
const loginPage = (png: Buffer): Spoil => ({
  name: 'a login page, twice',
  body: () => png,
  send: ({ outgoing, body, contentType }, times) => {
    const isPage = times < PAGES;
    outgoing.writeHead(200, { 'Content-Type': isPage ? 'text/html' : contentType });
    outgoing.end(isPage ? '<!DOCTYPE html><form>Sign in</form>' : body);
  },
});

let corpus: readonly BadFile[];
let simulator: SimulatorProcess;
let swapper: OutputSwapper;
let service: Service;
let grownMiB: number;
let outcomes: readonly Outcome[];

beforeAll(async () => {
  const png = await noisePng();
  const pictures = [...(await badPictures(SEEDS)), ...badTransfers(png, SEEDS), ...badNames()];
  const isBomb = (bad: BadFile) => bad.isBomb === true;
  const bombs = pictures.filter(isBomb);
  const others = inOrder([...pictures.filter((bad) => !isBomb(bad)), ...badClips(folder, SEEDS)]);
  corpus = [...bombs, ...others];
  writeStrictTemplates(folder);
  simulator = await startSimulator();
  swapper = await startOutputSwapper(simulator.url, [...corpus, loginPage(png)]);
  service = await startService({
    comfyUrls: [swapper.url],
    env: { TEMPLATES_DIR: folder, MAX_GPU_JOBS: '4', PREFETCH: '0', DOWNLOAD_TIMEOUT_SECONDS: '2' },
  });
  const restMiB = memoryOf(service.workerPid())?.rssMiB ?? 0;
  await service.post('/v1/accounts', { id: CORPUS_ACCOUNT });
  await service.post(`/v1/accounts/${CORPUS_ACCOUNT}/grants`, { credits: CREDITS, reference: 'start' });
  const run = new CorpusRun(service, swapper, {});
  const exploded = await run.of(bombs);
  // Before the others, because hundreds of Workflows in the cache of the worker need more than any bomb may.
  grownMiB = (peakMemoryOf(service.workerPid()) ?? 0) - restMiB;
  const ended = [...exploded, ...(await run.of(others))];
  outcomes = ended.map((seen) => ({
    bad: swapper.met.get(seen.id) as BadFile,
    ...{ seen, views: swapper.views.get(seen.id) ?? 0 },
  }));
}, 15 * 60_000);

afterAll(async () => {
  await service.stop(); // the checker compares store, rows and credits
  await swapper.close();
  await simulator.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

test('A8 R3.2 not one of the corpus is delivered, and each verdict names the fault', () => {
  expect(unnamed(outcomes)).toEqual([]);
  expect(outcomes.map(({ bad }) => bad.name).sort()).toEqual(corpus.map(({ name }) => name).sort());
});

test('A8 R3.2 a file is fetched again before it is rendered again, and rendered again at most once', () => {
  let lostCounts = 0;
  const wrong = outcomes.flatMap(({ bad, seen, views }) => {
    const isTransfer = bad.faults.some((fault) => TRANSFER.includes(fault));
    if (isTransfer) lostCounts += Math.max(0, views - DOWNLOADS * 2);
    const isFetched = isTransfer ? views > DOWNLOADS : views <= 2;
    const again = seen.attempts.filter(({ strategy }) => strategy === 'render_again').length;
    const isCurable = isTransfer || bad.faults.includes('missing');
    return isFetched && again === (isCurable ? 1 : 0) ? [] : [{ bad: bad.name, views, attempts: seen.attempts }];
  });
  expect(wrong).toEqual([]);
  expect(lostCounts).toBeLessThanOrEqual(MAX_LOST_COUNTS);
  const rendered = simulator.journal().filter(({ event }) => event === 'rendering_started');
  expect(new Set(rendered.map(({ promptId }) => promptId)).size).toBe(rendered.length);
  expect(rendered.length).toBeLessThanOrEqual(corpus.length * 2);
});

test('A8 a name that leads out of its folder is not even asked for', () => {
  const asked = outcomes.filter(({ bad, views }) => bad.faults.includes('bad_name') && views > 0);
  expect(asked).toEqual([]);
});

test('A8 R3.2 no bomb fills the memory of the worker', () => {
  expect(grownMiB).toBeLessThan(MAX_GROWTH_MIB);
});

test('A8 R4.5 every credit is given back', async () => {
  const account = (await (await fetch(`${service.apiUrl}/v1/accounts/${CORPUS_ACCOUNT}`)).json()) as Record<
    string,
    unknown
  >;
  expect(account).toMatchObject({ balance: CREDITS, held: 0 });
});

test('A8 R5.5 a login page is waited out: the picture behind it is delivered, and not rendered again', async () => {
  const { id } = await service.submit({ template: 'strict-picture', parameters: { seed: 77_777 } });
  const { attempts, outputs } = await service.untilStatus(id, 'COMPLETED', 60_000);
  expect({ attempts, views: swapper.views.get(id), many: outputs.length }).toEqual({
    ...{ attempts: [], views: PAGES + 1, many: 1 },
  });
}, 90_000);
