import { expect, test } from '@jest/globals';
import { heartbeatWhile } from '../../activities/heartbeat-while.js';
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
