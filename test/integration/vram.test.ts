import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { templateFolder } from '../support/template-folder.js';
import { until } from '../support/until.js';

const templates = templateFolder({
  large: {
    vram: [
      { upTo: { width: 64, height: 64 }, gb: 6 },
      { upTo: { width: 128, height: 128 }, gb: 10 },
    ],
  },
});
const LARGE = { template: 'large', parameters: { width: 128, height: 128 } };
const SMALL = { template: 'large', parameters: { width: 64, height: 64 } };

let cards: readonly SimulatorProcess[] = [];
let services: readonly Service[] = [];
let small: SimulatorProcess;
let large: SimulatorProcess;
/** One whose workers have both cards, and one that has the small card of its own. */
let withBoth: Service;
let withSmall: Service;
let lonely: SimulatorProcess;

beforeAll(async () => {
  const card = async (gib: string) => startSimulator({ extraArgs: ['--device', 'cuda', '--vram-gib', gib] });
  [small, large, lonely] = await Promise.all([card('8'), card('24'), card('8')]);
  cards = [small, large, lonely];
  [withBoth, withSmall] = await Promise.all([serviceOn(small, large), serviceOn(lonely)]);
  services = [withBoth, withSmall];
}, 120_000);

afterAll(async () => {
  await Promise.all(services.map(async (service) => service.stop()));
  await Promise.all(cards.map(async (card) => card.stop()));
  templates.remove();
}, 60_000);

/** A service whose API knows every card: it reads what the workers report at most every five seconds. */
async function serviceOn(...simulators: readonly SimulatorProcess[]): Promise<Service> {
  const comfyUrls = simulators.map(({ url }) => url);
  const service = await startService({ comfyUrls, env: { TEMPLATES_DIR: templates.path } });
  await until('every backend reports', async () => {
    const answer = await fetch(`${service.apiUrl}/v1/backends`);
    const { backends } = (await answer.json()) as { readonly backends: readonly { readonly hardware?: string }[] };
    return backends.filter(({ hardware }) => hardware === 'gpu').length === simulators.length;
  });
  return service;
}

const posted = (card: SimulatorProcess) => card.journal().filter(({ event }) => event === 'prompt_received').length;

test('R4.7 what needs 10 GB always lands on the card that has them', async () => {
  const accepted = await Promise.all(Array.from({ length: 8 }, async () => withBoth.submit(LARGE)));
  for (const { id } of accepted) await withBoth.untilStatus(id, 'COMPLETED', 60_000);
  expect([posted(small), posted(large)]).toEqual([0, 8]);
}, 90_000);

test('R4.7 with the small card alone it is refused before a GPU is used, and what fits is rendered', async () => {
  const refused = await withSmall.post('/v1/generations', LARGE);
  expect([refused.status, await refused.json()]).toEqual([
    422,
    expect.objectContaining({
      code: 'will_not_fit',
      detail: expect.stringMatching(/^It needs about 10 GB of VRAM, and .* has 8\.0 GB\.$/),
      remedy: expect.stringContaining('width up to 64 with height up to 64 (6 GB)'),
    }),
  ]);
  expect(posted(lonely)).toBe(0);
  const { id } = await withSmall.submit(SMALL);
  await withSmall.untilStatus(id, 'COMPLETED', 60_000);
  expect(posted(lonely)).toBe(1);
}, 90_000);
