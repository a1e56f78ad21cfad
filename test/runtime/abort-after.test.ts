import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, expect, jest, test } from '@jest/globals';
import { abortAfter } from '../../infra/runtime/abort-after.js';
import { projectRoot } from '../../infra/runtime/project-root.js';

const run = promisify(execFile);

/**
 * A process of its own, for its heap is small: here, with what the tests before have left, one collection can take seconds.
 * Nothing but the listener knows the signal, as in a request that is under way.
 */
const COLLECT_WHILE_WAITING = `
import { setTimeout as sleep } from 'node:timers/promises';
import { abortAfter } from './dist/infra/runtime/abort-after.js';

async function reasonOf(ms, signal) {
  return abortAfter(
    ms,
    [signal],
    (limited) =>
      new Promise((resolve) => {
        limited.addEventListener('abort', () => resolve(limited.reason));
      }),
  );
}

const caller = new AbortController();
const reason = reasonOf(500, caller.signal);
for (let times = 0; times < 8; times += 1) {
  await sleep(20);
  gc();
}
console.log((await Promise.race([reason, sleep(5_000, { name: 'never' })])).name);
process.exit();
`;

afterEach(() => {
  jest.restoreAllMocks();
});

test('a deadline comes although garbage was collected meanwhile', async () => {
  const { stdout } = await run(
    process.execPath,
    ['--expose-gc', '--input-type=module', '--eval', COLLECT_WHILE_WAITING],
    { cwd: projectRoot },
  );
  expect(stdout.trim()).toBe('TimeoutError');
});

test('the caller ends it before, with a reason of their own', async () => {
  const caller = new AbortController();
  const reason = abortAfter(60_000, [caller.signal], async (limited) => {
    caller.abort('enough');
    return Promise.resolve(limited.reason as unknown);
  });
  expect(await reason).toBe('enough');
});

test.each(['answers', 'fails'])('nothing is left behind when the work %s', async (how) => {
  const set = jest.spyOn(globalThis, 'setTimeout');
  const cleared = jest.spyOn(globalThis, 'clearTimeout');
  await abortAfter(60_000, [], async () =>
    how === 'answers' ? Promise.resolve() : Promise.reject(new Error('no')),
  ).catch(() => undefined);
  expect(cleared.mock.calls).toContainEqual([set.mock.results[0]?.value]);
});
