import { Context, cancelled, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startScriptedTemporal } from '../support/scripted-generation.js';
import type { ScriptedRun, ScriptedTemporal } from '../support/scripted-generation.js';
import { until } from '../support/until.js';
import type { CompletedPrompt } from '../../workflows/contracts/activities.js';
import type { FailureKind } from '../../workflows/domain/failure.js';
import { progressQuery } from '../../workflows/contracts/generation.js';

let temporal: ScriptedTemporal;

beforeAll(async () => {
  temporal = await startScriptedTemporal();
}, 60_000);

afterAll(async () => {
  await temporal.close();
}, 30_000);

const fails = (type: FailureKind | 'ALREADY_ENDED' | 'SUPERSEDED', facts: Readonly<Record<string, unknown>> = {}) => {
  throw ApplicationFailure.create({ type, message: `it is ${type}`, nonRetryable: true, details: [facts] });
};
/** Runs until it is cancelled, as an activity does that looks at its cancellation. */
const untilCancelled = async (): Promise<never> => {
  const timer = setInterval(() => {
    heartbeat();
  }, 50);
  try {
    return await cancelled();
  } finally {
    clearInterval(timer);
  }
};
const failureOf = async ({ handle }: ScriptedRun): Promise<ApplicationFailure> => {
  const error: unknown = await handle.result().catch((reason: unknown) => reason);
  if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure) return error.cause;
  throw new Error('The Workflow did not fail as it was to', { cause: error });
};
const statusOf = async ({ handle }: ScriptedRun) => (await handle.describe()).status.name;
const called = async (run: ScriptedRun, call: string) => until(call, async () => run.calls.includes(call));

test('the happy path calls each activity once, in order, and answers with the stored outputs', async () => {
  const run = await temporal.run({});
  await expect(run.handle.result()).resolves.toMatchObject({ backendId: 'b1', submission: 1, outputs: [{ index: 0 }] });
  expect(run.calls.filter((call) => !call.startsWith('recordProgress'))).toEqual([
    'discoverBackend',
    'submitPrompt p1',
    'awaitCompletion p1',
    'downloadOutputs p1',
    'validateOutputs p1',
    'uploadOutputs p1',
    'recordOutcome COMPLETED',
  ]);
  expect(run.calls).toContain('recordProgress processing');
});

/** Where every claim was scheduled. */
async function claimQueuesOf({ handle }: ScriptedRun): Promise<readonly string[]> {
  await handle.result();
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
    scheduled?.activityType?.name === 'discoverBackend' ? [scheduled.taskQueue?.name ?? ''] : [],
  );
}

function failsOnce(type: FailureKind): () => Promise<CompletedPrompt> {
  let isFirst = true;
  return async () => {
    if (!isFirst) return { outputs: [], startedAtMs: 1 };
    isFirst = false;
    return fails(type);
  };
}

test.each<[FailureKind, string]>([
  ['INTERRUPTED', 'gpu@b1'],
  ['PROMPT_LOST', 'gpu@b1'],
  ['UNEXPECTED', 'gpu'],
  ['BACKEND_CRASHED', 'gpu'],
  ['NETWORK_ERROR', 'gpu'],
])('after %s the next claim goes to the queue %s', async (kind, queue) => {
  const run = await temporal.run({ awaitCompletion: failsOnce(kind) });
  await expect(claimQueuesOf(run)).resolves.toEqual(['gpu', queue]);
});

test('a backend that does not take a generation back leaves it to any', async () => {
  let claims = 0;
  const claim = { backendId: 'b1', taskQueue: 'gpu@b1', decision: 'new', device: 'gpu' } as const;
  const run = await temporal.run({
    awaitCompletion: failsOnce('INTERRUPTED'),
    discoverBackend: async () => {
      claims += 1;
      return claims === 2 ? fails('NETWORK_ERROR') : { ...claim, submission: claims, promptId: `p${claims}` };
    },
  });
  await expect(claimQueuesOf(run)).resolves.toEqual(['gpu', 'gpu@b1', 'gpu']);
});

test('a prompt that was too quick to be seen rendering is recorded as processing all the same', async () => {
  const run = await temporal.run({ submitPrompt: async () => ({ state: 'finished', nodeCount: 2 }) });
  await run.handle.result();
  expect(run.calls.indexOf('recordProgress processing')).toBeGreaterThan(0);
  expect(run.calls.at(-1)).toBe('recordOutcome COMPLETED');
});

test('a cancel while rendering frees the GPU, is recorded, and closes the Workflow as Canceled', async () => {
  const run = await temporal.run({ awaitCompletion: untilCancelled });
  await called(run, 'awaitCompletion p1');
  await run.handle.cancel();
  await expect(run.handle.result()).rejects.toThrow(WorkflowFailedError);
  expect(await statusOf(run)).toBe('CANCELLED');
  expect(run.calls.slice(-2)).toEqual(['stopPrompt p1', 'recordOutcome CANCELLED']);
});

test('a cancel while submitting frees the GPU only after the submission has ended, even when that succeeded', async () => {
  const order: string[] = [];
  const run = await temporal.run({
    submitPrompt: async () => {
      await untilCancelled().catch(() => undefined);
      order.push('submitted');
      return { state: 'running', nodeCount: 3 };
    },
    stopPrompt: async () => {
      order.push('stopped');
      return { outcome: 'interrupted' };
    },
  });
  await called(run, 'submitPrompt p1');
  await run.handle.cancel();
  await expect(run.handle.result()).rejects.toThrow(WorkflowFailedError);
  expect(order).toEqual(['submitted', 'stopped']);
  expect(run.calls).not.toContain('awaitCompletion p1');
  expect(run.calls.at(-1)).toBe('recordOutcome CANCELLED');
});

test.each(['downloadOutputs', 'validateOutputs', 'uploadOutputs'] as const)(
  'a cancel during %s ends as CANCELLED without touching the GPU again',
  async (name) => {
    const run = await temporal.run({ [name]: untilCancelled });
    await called(run, `${name} p1`);
    await run.handle.cancel();
    await expect(run.handle.result()).rejects.toThrow(WorkflowFailedError);
    expect(await statusOf(run)).toBe('CANCELLED');
    expect(run.calls.filter((call) => call.startsWith('stopPrompt'))).toEqual([]);
    expect(run.calls.at(-1)).toBe('recordOutcome CANCELLED');
  },
);

test('a cancel while the outcome is recorded comes too late: the picture counts', async () => {
  let release: () => void = () => undefined;
  const recording = new Promise<void>((resolve) => {
    release = resolve;
  });
  const run = await temporal.run({ recordOutcome: async () => recording });
  await called(run, 'recordOutcome COMPLETED');
  await run.handle.cancel();
  release();
  await expect(run.handle.result()).resolves.toMatchObject({ submission: 1 });
  expect(run.calls.filter((call) => call.startsWith('recordOutcome'))).toEqual(['recordOutcome COMPLETED']);
});

test('the total deadline frees the GPU and ends as TIMEOUT', async () => {
  const run = await temporal.run({ awaitCompletion: untilCancelled }, { totalSeconds: 1 });
  expect((await failureOf(run)).type).toBe('TIMEOUT');
  expect(run.calls).toContain('stopPrompt p1');
  expect(run.calls.at(-1)).toBe('recordOutcome TIMEOUT TIMEOUT');
});

test('the total deadline ends a submission that hangs, and one that fails again and again', async () => {
  const hanging = await temporal.run({ submitPrompt: untilCancelled }, { totalSeconds: 1 });
  expect((await failureOf(hanging)).type).toBe('TIMEOUT');
  expect(hanging.calls.slice(-2)).toEqual(['stopPrompt p1', 'recordOutcome TIMEOUT TIMEOUT']);

  const failing = async () => {
    throw ApplicationFailure.create({ type: 'NETWORK_ERROR', message: 'it does not answer' });
  };
  const retried = await temporal.run({ awaitCompletion: failing }, { totalSeconds: 3 });
  expect((await failureOf(retried)).type).toBe('TIMEOUT');
  expect(retried.calls.at(-1)).toBe('recordOutcome TIMEOUT TIMEOUT');
  expect(retried.calls.filter((call) => call.startsWith('discoverBackend'))).toHaveLength(1);
}, 30_000);

test('the total deadline counts over a second claim', async () => {
  let claims = 0;
  const run = await temporal.run(
    {
      async discoverBackend() {
        claims += 1;
        if (claims > 1) return untilCancelled();
        return { backendId: 'b1', taskQueue: 'gpu@b1', submission: 1, promptId: 'p1', decision: 'new', device: 'gpu' };
      },
      submitPrompt: async () => fails('NETWORK_ERROR'),
    },
    { totalSeconds: 2 },
  );
  expect((await failureOf(run)).type).toBe('TIMEOUT');
  expect(run.calls.slice(-2)).toEqual(['stopPrompt p1', 'recordOutcome TIMEOUT TIMEOUT']);
});

test('the happy path leaves 48 events in the history, and two upserts where Search Attributes are allowed', async () => {
  const run = await temporal.run({});
  await run.handle.result();
  const { events } = await run.handle.fetchHistory();
  expect(events).toHaveLength(48);
});

test('an outage of the store longer than the total deadline does not fail a finished picture', async () => {
  let attempts = 0;
  const run = await temporal.run(
    {
      async uploadOutputs() {
        attempts += 1;
        if (attempts < 2)
          throw ApplicationFailure.create({ type: 'NETWORK_ERROR', message: 'no store', nextRetryDelay: '2 s' });
        return [];
      },
    },
    { totalSeconds: 1 },
  );
  await run.handle.result();
  expect(attempts).toBe(2);
}, 30_000);

test('R3.5 a rendering that takes too long is stopped and ends as TIMEOUT', async () => {
  const run = await temporal.run({ awaitCompletion: async () => fails('TIMEOUT') });
  expect((await failureOf(run)).type).toBe('TIMEOUT');
  expect(run.calls.slice(-2)).toEqual(['stopPrompt p1', 'recordOutcome TIMEOUT TIMEOUT']);
});

test('a lost prompt is submitted again under the next number, and the old number is not to be adopted', async () => {
  let lost = false;
  const run = await temporal.run({
    async awaitCompletion() {
      if (!lost) {
        lost = true;
        fails('PROMPT_LOST');
      }
      return { outputs: [], startedAtMs: null };
    },
  });
  await expect(run.handle.result()).resolves.toMatchObject({ submission: 2 });
  expect(run.calls).toEqual(
    expect.arrayContaining(['recordProgress recovering', 'discoverBackend 1', 'submitPrompt p2']),
  );
  expect((await run.handle.query(progressQuery)).recoveries).toMatchObject([
    { kind: 'PROMPT_LOST', strategy: 'resubmit' },
  ]);
});

test('a submission whose fate is unknown may be adopted by the next claim', async () => {
  let failed = false;
  const run = await temporal.run({
    async submitPrompt() {
      if (!failed) {
        failed = true;
        fails('NETWORK_ERROR');
      }
      return { state: 'running', nodeCount: 3 };
    },
  });
  await run.handle.result();
  expect(run.calls.filter((call) => call.startsWith('discoverBackend'))).toEqual([
    'discoverBackend',
    'discoverBackend',
  ]);
  expect(run.calls.filter((call) => call.startsWith('stopPrompt'))).toEqual([]);
});

test('a cancel while the next claim waits frees what the last one may have left rendering', async () => {
  let claims = 0;
  const run = await temporal.run({
    async discoverBackend() {
      claims += 1;
      if (claims > 1) return untilCancelled();
      return { backendId: 'b1', taskQueue: 'gpu@b1', submission: 1, promptId: 'p1', decision: 'new', device: 'gpu' };
    },
    submitPrompt: async () => fails('NETWORK_ERROR'),
  });
  await until('the second claim', async () => claims === 2);
  await run.handle.cancel();
  await expect(run.handle.result()).rejects.toThrow(WorkflowFailedError);
  expect(run.calls.slice(-2)).toEqual(['stopPrompt p1', 'recordOutcome CANCELLED']);
});

test('a damaged download is fetched again before anything is rendered again', async () => {
  let checks = 0;
  const run = await temporal.run({
    async validateOutputs() {
      checks += 1;
      if (checks === 1) fails('OUTPUT_INVALID', { verdicts: [{ index: 0, fault: 'truncated', detail: 'cut' }] });
      return [];
    },
  });
  await run.handle.result();
  expect(run.calls.filter((call) => call.startsWith('downloadOutputs'))).toHaveLength(2);
  expect(run.calls.filter((call) => call.startsWith('submitPrompt'))).toHaveLength(1);
});

test('what cannot be cured ends with its kind, its facts and the GPU freed where it may still render', async () => {
  const graphError = await temporal.run({ submitPrompt: async () => fails('WORKFLOW_ERROR', { node: '7' }) });
  const failure = await failureOf(graphError);
  expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', details: [{ node: '7' }] });
  expect(graphError.calls.at(-1)).toBe('recordOutcome FAILED WORKFLOW_ERROR');
  expect(graphError.calls.some((call) => call.startsWith('stopPrompt'))).toBe(false);

  const unexpected = await temporal.run({ awaitCompletion: async () => fails('UNEXPECTED') });
  expect((await failureOf(unexpected)).type).toBe('UNEXPECTED');
  expect(unexpected.calls.slice(-2)).toEqual(['stopPrompt p2', 'recordOutcome FAILED UNEXPECTED']);
});

test('the start deadline ends as NO_CAPACITY with what every backend said', async () => {
  const run = await temporal.run(
    {
      discoverBackend: async () => {
        Context.current().log.debug('nobody is there');
        throw ApplicationFailure.create({ type: 'NETWORK_ERROR', message: 'No ComfyUI answers' });
      },
    },
    { startSeconds: 3 },
  );
  const failure = await failureOf(run);
  expect(failure.type).toBe('NO_CAPACITY');
  expect(failure.message).toContain('127.0.0.1:9 (connection refused)');
  expect(run.calls.at(-1)).toBe('recordOutcome FAILED NO_CAPACITY');
}, 30_000);

test('a run that was left behind records nothing: the generation has ended already', async () => {
  const run = await temporal.run({ discoverBackend: async () => fails('ALREADY_ENDED') });
  expect((await failureOf(run)).type).toBe('ALREADY_ENDED');
  expect(run.calls.filter((call) => call.startsWith('recordOutcome'))).toEqual([]);
});

test('a run that was reset to before a later submission claims again, and nothing counts as a recovery', async () => {
  let submissions = 0;
  const run = await temporal.run({
    submitPrompt: async () => {
      submissions += 1;
      return submissions === 1 ? fails('SUPERSEDED') : { state: 'running', nodeCount: 3 };
    },
  });
  await expect(run.handle.result()).resolves.toMatchObject({ submission: 2 });
  expect(run.calls.filter((call) => call.startsWith('discoverBackend'))).toHaveLength(2);
  expect(run.calls).not.toContain('recordProgress recovering');
});

test('a run that always finds itself left behind ends, and says so', async () => {
  const run = await temporal.run({ submitPrompt: async () => fails('SUPERSEDED') });
  expect((await failureOf(run)).type).toBe('UNEXPECTED');
  expect(run.calls.at(-1)).toBe('recordOutcome FAILED UNEXPECTED');
});

test.each(['COMPLETED', 'FAILED', 'CANCELLED'] as const)(
  'a run whose outcome %s is refused because the generation has ended closes with just that',
  async (status) => {
    const run = await temporal.run({
      recordOutcome: async () => fails('ALREADY_ENDED'),
      ...(status === 'FAILED' && { awaitCompletion: async () => fails('NO_FACE') }),
      ...(status === 'CANCELLED' && { awaitCompletion: untilCancelled }),
    });
    if (status === 'CANCELLED') {
      await until('it renders', async () => run.calls.includes('awaitCompletion p1'));
      await run.handle.cancel();
    }
    expect((await failureOf(run)).type).toBe('ALREADY_ENDED');
    expect(run.calls.filter((call) => call.startsWith('recordOutcome'))).toHaveLength(1);
  },
);

test('recoveries that cannot be prepared are passed over, and the failure stays what it was', async () => {
  const run = await temporal.run({
    awaitCompletion: async () => fails('CUDA_OOM'),
    freeMemory: async () => fails('BACKEND_CRASHED'),
    adaptGraph: async () => fails('UNEXPECTED'),
    findOtherBackend: async () => fails('UNEXPECTED'),
  });
  await expect(failureOf(run)).resolves.toMatchObject({ type: 'CUDA_OOM', message: 'it is CUDA_OOM' });
  const tried = run.calls.filter((call) => /^(freeMemory|adaptGraph|findOtherBackend)/.test(call));
  expect(tried).toEqual([
    'freeMemory',
    ...['adaptGraph split_batch', 'adaptGraph tiled_decode', 'freeMemory'],
    ...['adaptGraph reduce_params', 'findOtherBackend b1'],
  ]);
  expect(run.calls.filter((call) => call.startsWith('submitPrompt'))).toHaveLength(1);
});

test('a cancel that arrives while a recovery is prepared ends as CANCELLED, and nothing is claimed again', async () => {
  const run = await temporal.run({ awaitCompletion: async () => fails('CUDA_OOM'), freeMemory: untilCancelled });
  await called(run, 'freeMemory');
  await run.handle.cancel();
  await called(run, 'recordOutcome CANCELLED');
  await until('it is closed', async () => (await statusOf(run)) === 'CANCELLED');
  expect(run.calls.filter((call) => call.startsWith('discoverBackend'))).toHaveLength(1);
});
