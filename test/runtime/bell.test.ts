import { expect, test } from '@jest/globals';
import { Bell } from '../../infra/runtime/bell.js';

const LONG_MS = 60_000;
const never = new AbortController().signal;
const turn = async () => new Promise(setImmediate);

function waiters(bell: Bell, count: number, signal = never) {
  const woken: number[] = [];
  const all = Promise.all(
    Array.from({ length: count }, async (_, number) => {
      await bell.wait(LONG_MS, signal);
      woken.push(number);
    }),
  );
  return { woken, all };
}

test('a ring wakes one of those who wait, in the order in which they came', async () => {
  const bell = new Bell();
  const { woken, all } = waiters(bell, 3);
  bell.ring();
  await turn();
  expect(woken).toEqual([0]);
  bell.ring();
  bell.ring();
  await all;
  expect(woken).toEqual([0, 1, 2]);
});

test('a ring while nobody waits is not lost, and counts for one', async () => {
  const bell = new Bell();
  bell.ring();
  await bell.wait(LONG_MS, never);
  const { woken, all } = waiters(bell, 1);
  await turn();
  expect(woken).toEqual([]);
  bell.ring();
  await all;
});

test('the end wakes everybody, and whoever comes after it does not wait', async () => {
  const bell = new Bell();
  const end = new AbortController();
  const { all } = waiters(bell, 3, end.signal);
  end.abort();
  await all;
  await bell.wait(LONG_MS, end.signal);
});

test('nobody waits longer than asked', async () => {
  await new Bell().wait(1, never);
});
