import { expect, test } from '@jest/globals';
import { heartbeatOnNews, heartbeatWhile } from '../../activities/heartbeat-while.js';
import { until } from '../support/until.js';
import { environment } from './support/activity-world.js';

test('work that is over at once sends no heartbeat: each one is a write on the server', async () => {
  const world = environment();
  let beats = 0;
  world.onHeartbeat(() => {
    beats += 1;
  });
  await expect(world.run(async () => heartbeatWhile(async () => 'done'), null)).resolves.toBe('done');
  expect(beats).toBe(0);
});

test('longer work sends what its details then say, and no more once it is over', async () => {
  const world = environment();
  const said: unknown[] = [];
  world.onHeartbeat((beat) => said.push(beat));
  const work = async () => until('two heartbeats', async () => said.length >= 2);
  await world.run(async () => heartbeatWhile(work, () => ({ count: said.length })), null);
  expect(said.slice(0, 2)).toEqual([{ count: 0 }, { count: 1 }]);
});

test('work that watches sends what is new within two seconds, and the same again only after four', async () => {
  const world = environment();
  const said: { readonly details: unknown; readonly atMs: number }[] = [];
  world.onHeartbeat((details) => said.push({ details, atMs: performance.now() }));
  let state = 'pending';
  const work = async () => {
    await until('the first heartbeat', async () => said.length >= 1);
    await until('the first again', async () => said.length >= 2);
    state = 'running';
    await until('the change', async () => said.length >= 3);
  };
  await world.run(async () => heartbeatOnNews(work, () => ({ state })), null);
  expect(said.map(({ details }) => details)).toEqual([
    { state: 'pending' },
    { state: 'pending' },
    { state: 'running' },
  ]);
  const [first = 0, second = 0, third = 0] = said.map(({ atMs }) => atMs);
  expect(second - first).toBeGreaterThan(3_000);
  expect(third - second).toBeLessThan(3_000);
}, 30_000);

test('work that watches sends the same again as often as the heartbeat timeout of its activity asks for', async () => {
  const world = environment({ heartbeatTimeoutMs: 3_000 });
  const saidAtMs: number[] = [];
  world.onHeartbeat(() => saidAtMs.push(performance.now()));
  const work = async () => until('three heartbeats', async () => saidAtMs.length >= 3);
  await world.run(async () => heartbeatOnNews(work, () => 'nothing new'), null);
  const [first = 0, , third = 0] = saidAtMs;
  expect(third - first).toBeLessThan(3_000); // by default two pauses take eight seconds
}, 30_000);
