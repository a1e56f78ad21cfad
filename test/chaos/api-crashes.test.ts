import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const REQUEST = { template: 'test-card', parameters: { width: 64, height: 64 } };
let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator();
  service = await startService({ comfyUrls: [simulator.url] });
}, 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 90_000);

test.each(['acceptGeneration.before', 'acceptGeneration.mid'])(
  'kill -9 of the API at %s: the same Idempotency-Key asked again gives one generation',
  async (crashAt) => {
    const headers = { 'Idempotency-Key': crashAt };
    await service.killApi('SIGTERM');
    await service.startApi({ CRASH_AT: crashAt });
    await expect(service.post('/v1/generations', REQUEST, headers)).rejects.toThrow();
    expect((await service.apiEnded()).signal).toBe('SIGKILL');
    await service.startApi();

    const before = await countOfGenerations();
    const answer = await service.post('/v1/generations', REQUEST, headers);
    const { id } = (await answer.json()) as SeenGeneration;
    const wasCommitted = crashAt === 'acceptGeneration.mid';
    expect(answer.headers.get('Idempotent-Replayed')).toBe(wasCommitted ? 'true' : null);
    expect((await countOfGenerations()) - before).toBe(wasCommitted ? 0 : 1);
    await service.untilStatus(id, 'COMPLETED', 60_000);
  },
  120_000,
);

test('200 racing requests with one Idempotency-Key make one generation and get the same answer', async () => {
  const before = await countOfGenerations();
  const headers = { 'Idempotency-Key': 'race' };
  const answers = await Promise.all(
    Array.from({ length: 200 }, async () => {
      const response = await service.post('/v1/generations', REQUEST, headers);
      return { status: response.status, body: await response.text() };
    }),
  );
  const accepted = answers.filter(({ status }) => status === 202);
  expect(answers.filter(({ status }) => status !== 202 && status !== 409)).toEqual([]); // 409: the first is under way
  expect(accepted.length).toBeGreaterThan(0);
  expect(new Set(accepted.map(({ body }) => body)).size).toBe(1);
  expect((await countOfGenerations()) - before).toBe(1);
}, 60_000);

async function countOfGenerations(): Promise<number> {
  const page = await fetch(`${service.apiUrl}/v1/generations?limit=100`);
  return ((await page.json()) as { generations: unknown[] }).generations.length;
}
