import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { startScriptedTemporal } from '../support/scripted-generation.js';
import type { ScriptedRun, ScriptedTemporal } from '../support/scripted-generation.js';
import { progressQuery } from '../../workflows/contracts/generation.js';

let temporal: ScriptedTemporal;

beforeAll(async () => {
  temporal = await startScriptedTemporal();
}, 60_000);

afterAll(async () => {
  await temporal.close();
}, 30_000);

/** What the Workflow sees of a queue that nobody polls any more. */
function workerIsGone(): never {
  const details = [{ backendId: 'b1', isWorkerGone: true }];
  throw ApplicationFailure.create({ type: 'NETWORK_ERROR', message: 'gone', nonRetryable: true, details });
}

/** Fails the first call as on a lost backend. */
function lostOnce<T>(result: T): () => Promise<T> {
  let isLost = false;
  return async () => {
    if (!isLost) {
      isLost = true;
      workerIsGone();
    }
    return result;
  };
}

const progressOf = async ({ handle }: ScriptedRun) => {
  await handle.result();
  return handle.query(progressQuery);
};

test.each([
  ['watched', { awaitCompletion: lostOnce({ outputs: [], startedAtMs: 1 }) }],
  ['submitted', { submitPrompt: lostOnce({ state: 'running', nodeCount: 3 } as const) }],
])(
  'a backend that is lost while its prompt is %s leaves an abandoned rendering, which is counted',
  async (_, script) => {
    const progress = await progressOf(await temporal.run(script));
    expect(progress).toMatchObject({ submission: 2, abandonedRenderings: 1 });
    expect(progress.recoveries).toMatchObject([{ kind: 'NETWORK_ERROR', strategy: 'take_over' }]);
  },
);

test('a backend that is lost with a finished picture renders nothing any more: nothing is abandoned', async () => {
  const progress = await progressOf(await temporal.run({ downloadOutputs: lostOnce([]) }));
  expect(progress).toMatchObject({ submission: 2, abandonedRenderings: 0 });
  expect(progress.recoveries).toMatchObject([{ kind: 'NETWORK_ERROR', strategy: 'rediscover' }]);
});

test('a generation that meets no lost backend has abandoned nothing', async () => {
  await expect(progressOf(await temporal.run({}))).resolves.toMatchObject({ abandonedRenderings: 0 });
});
