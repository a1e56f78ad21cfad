import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startGuardingProxy } from '../support/guarding-proxy.js';
import type { GuardingProxy } from '../support/guarding-proxy.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

const [PASSWORD, TOKEN, KEY] = ['hunter2-secret', 'token-secret', 'key-secret'];

let simulators: readonly SimulatorProcess[] = [];
let proxies: readonly GuardingProxy[] = [];
let service: Service;

/** Three ways to get in, and one that is not known. */
beforeAll(async () => {
  simulators = await Promise.all(Array.from({ length: 4 }, async () => startSimulator({ secondsPerStep: 0.02 })));
  const basic = `Basic ${Buffer.from(`me:${PASSWORD}`).toString('base64')}`;
  const guards = [
    ({ headers }: { headers: NodeJS.Dict<string | string[]> }) => headers['authorization'] === basic,
    ({ url = '' }: { url?: string | undefined }) => new URL(url, 'http://x').searchParams.get('token') === TOKEN,
    ({ headers }: { headers: NodeJS.Dict<string | string[]> }) => headers['x-api-key'] === KEY,
    () => false,
  ];
  proxies = await Promise.all(
    simulators.map(async (simulator, index) => startGuardingProxy(simulator, guards[index] ?? (() => false))),
  );
  const [one, two, three, four] = proxies.map(({ port }) => port);
  service = await startService({
    comfyUrls: simulators.map(({ url }) => url), // what the checker looks at
    env: {
      COMFYUI_URL: `http://me:${PASSWORD}@127.0.0.1:${one},http://127.0.0.1:${two}?token=${TOKEN},http://127.0.0.1:${three},http://127.0.0.1:${four}`,
      COMFYUI_HEADERS: JSON.stringify([{}, {}, { 'X-Api-Key': KEY }, { 'X-Api-Key': 'another' }]),
    },
  });
}, 90_000);

afterAll(async () => {
  await service.stop();
  await Promise.all(proxies.map(async (proxy) => proxy.close()));
  await Promise.all(simulators.map(async (simulator) => simulator.stop()));
}, 60_000);

const finishedOn = ({ journal }: SimulatorProcess) =>
  journal().filter(({ event }) => event === 'rendering_finished').length;

test('R3.1 ComfyUIs behind proxies that ask for credentials render, by REST and websocket; without the right ones it says so', async () => {
  const accepted = await Promise.all(
    Array.from({ length: 12 }, async (_, number) =>
      service.submit({
        template: 'sd15-text-to-image',
        parameters: { prompt: 'a harbour', width: 64, height: 64, steps: 20, seed: number },
      }),
    ),
  );
  for (const { id } of accepted) await service.untilStatus(id, 'COMPLETED', 90_000);
  const finished = simulators.map(finishedOn);
  expect(finished.reduce((sum, count) => sum + count, 0)).toBe(12);
  expect(Math.min(...finished.slice(0, 3))).toBeGreaterThan(0);
  expect(finished[3]).toBe(0);
  for (const proxy of proxies.slice(0, 3)) {
    expect(proxy.sockets()).toBeGreaterThan(0);
    expect(proxy.refused()).toEqual([]);
  }
  expect(proxies[3]?.refused().length).toBeGreaterThan(0);
  const seen = await until('the refusal is told', async () => {
    const text = await (await fetch(`${service.apiUrl}/v1/backends`)).text();
    return text.includes('answers 401, it wants other credentials') ? text : null;
  });
  for (const secret of [PASSWORD, TOKEN, KEY]) {
    expect(seen).not.toContain(secret);
    expect(service.workerLog()).not.toContain(secret);
  }
}, 180_000);
