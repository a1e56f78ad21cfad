import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from '@jest/globals';
import { abortAfter } from '../../infra/runtime/abort-after.js';

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Nothing but the listener knows the signal, as in a request that is under way. */
async function reasonOf(ms: number, signal: AbortSignal): Promise<unknown> {
  const limited = abortAfter(ms, signal);
  return new Promise((resolve) => {
    limited.addEventListener('abort', () => {
      resolve(limited.reason);
    });
  });
}

test('a deadline comes although garbage was collected meanwhile', async () => {
  const caller = new AbortController();
  const reason = reasonOf(500, caller.signal);
  for (let times = 0; times < 8; times += 1) {
    await sleep(20);
    collectGarbage();
  }
  expect(await Promise.race([reason, sleep(5_000, 'never')])).toMatchObject({ name: 'TimeoutError' });
});

test('the caller ends it before, with a reason of their own', async () => {
  const caller = new AbortController();
  const reason = reasonOf(60_000, caller.signal);
  caller.abort('enough');
  expect(await reason).toBe('enough');
});
