import { afterEach, describe, expect, test } from '@jest/globals';
import { CancelledFailure } from '@temporalio/common';
import { createAwaitFal } from '../../activities/await-fal.js';
import { createSubmitToFal } from '../../activities/submit-to-fal.js';
import type { AwaitFalInput, FalProgress, SubmitToFalInput } from '../../workflows/contracts/fal.js';
import { armFal, callFal, falEvents } from '../support/fal-process.js';
import type { FalProcess } from '../support/fal-process.js';
import { until } from '../support/until.js';
import { environment, factsOf, failureOf } from './support/activity-world.js';
import { closeFal, falClientAt, falSimulator, memoryStore, MODEL, PROMPT } from './support/fal-world.js';
import { closeStubs, freePort, sendJson, startStub } from './support/stub-server.js';

afterEach(async () => {
  await Promise.all([closeFal(), closeStubs()]);
});

const SHA256 = 'a'.repeat(64);
const INPUT_KEY = `fal-inputs/${SHA256}.json`;
const RECORD_KEY = 'fal/g-1/1.json';
const holdingInput = () => memoryStore({ [INPUT_KEY]: PROMPT });

function buildSubmission(facts: Partial<SubmitToFalInput> = {}): SubmitToFalInput {
  const input = { key: INPUT_KEY, sha256: SHA256 };
  return { generationId: 'g-1', submission: 1, modelId: MODEL, input, startSeconds: null, ...facts };
}

const submitting = (url: string, store = holdingInput()) => createSubmitToFal({ fal: falClientAt(url), store });

describe('Submitting to fal.ai', () => {
  test('answers with the request, and a second attempt with the same one, without posting', async () => {
    const fal = await falSimulator();
    const store = holdingInput();
    const first = await environment().run(submitting(fal.url, store), buildSubmission());
    const second = await environment({ attempt: 2 }).run(submitting(fal.url, store), buildSubmission());
    expect(second).toEqual(first);
    expect(falEvents(fal, 'submitted')).toMatchObject([{ requestId: first.requestId, model: MODEL }]);
    expect(first.submittedAtMs).toBeLessThanOrEqual(Date.now());
  });

  test('heartbeats the id of the request', async () => {
    const fal = await falSimulator();
    const world = environment();
    const beats: unknown[] = [];
    world.onHeartbeat((beat: unknown) => beats.push(beat));
    const { requestId } = await world.run(submitting(fal.url), buildSubmission());
    expect(beats).toEqual([{ requestId }]);
  });

  test('ends for good when the answer is lost, and a later attempt posts nothing either', async () => {
    const fal = await falSimulator();
    await armFal(fal, { kind: 'lost_answer' });
    const store = holdingInput();
    for (const attempt of [1, 2]) {
      const run = environment({ attempt }).run(submitting(fal.url, store), buildSubmission());
      const failure = await failureOf(run);
      expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: true });
      expect(factsOf(failure)).toEqual({ provider: 'fal', submission: 'unknown' });
    }
    expect(falEvents(fal, 'submitted')).toHaveLength(1);
  });

  test('of two attempts at once posts once', async () => {
    const fal = await falSimulator();
    const store = holdingInput();
    const submitToFal = submitting(fal.url, store);
    const runs = [1, 2].map(async () => environment().run(submitToFal, buildSubmission()));
    const results = await Promise.allSettled(runs);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(falEvents(fal, 'submitted')).toHaveLength(1);
  });

  test('is tried again after the wait that fal asks for, and then succeeds', async () => {
    const fal = await falSimulator();
    await armFal(fal, { kind: '429', retryAfterSeconds: 7 });
    const store = holdingInput();
    const failure = await failureOf(environment().run(submitting(fal.url, store), buildSubmission()));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false, nextRetryDelay: 7_000 });
    expect(store.keys()).not.toContain(RECORD_KEY);
    await environment({ attempt: 2 }).run(submitting(fal.url, store), buildSubmission());
    expect(falEvents(fal, 'submitted')).toHaveLength(1);
  });

  test('is tried again when nothing listens', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const failure = await failureOf(environment().run(submitting(url), buildSubmission()));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
  });

  test('R1.5 without a key says what to set', async () => {
    const submitToFal = createSubmitToFal({ fal: null, store: holdingInput() });
    const failure = await failureOf(environment().run(submitToFal, buildSubmission()));
    expect(failure).toMatchObject({ type: 'ENVIRONMENT', nonRetryable: true });
    expect(failure.message).toMatch(/^no fal.ai key is set\..*FAL_KEY/);
  });

  test('with a key that is refused ends for good and names the setting', async () => {
    const fal = await falSimulator();
    const submitToFal = createSubmitToFal({
      fal: falClientAt(fal.url, 'another:key-of-nobody'),
      store: holdingInput(),
    });
    const failure = await failureOf(environment().run(submitToFal, buildSubmission()));
    expect(failure).toMatchObject({ type: 'ENVIRONMENT', nonRetryable: true });
    expect(failure.message).toContain('FAL_KEY');
    expect(JSON.stringify(failure)).not.toContain('key-of-nobody');
  });

  test('that is cancelled meanwhile cancels what it posted; a worker that stops does not', async () => {
    for (const reason of ['CANCELLED', 'WORKER_SHUTDOWN'] as const) {
      const world = environment();
      const stub = await startStub((request, response) => {
        if (request.method === 'POST') world.cancel(reason);
        sendJson(response, 200, { request_id: 'r-1', status: 'CANCELLATION_REQUESTED' });
      });
      const run = world.run(submitting(stub.url), buildSubmission());
      if (reason === 'CANCELLED') await expect(run).rejects.toBeInstanceOf(CancelledFailure);
      else expect(await run).toMatchObject({ requestId: 'r-1' });
      const cancels = stub.requests.filter((request) => request.startsWith('PUT'));
      expect(cancels).toHaveLength(reason === 'CANCELLED' ? 1 : 0);
    }
  });
});

async function posted(fal: FalProcess, facts: Partial<AwaitFalInput> = {}): Promise<AwaitFalInput> {
  const requestId = await falClientAt(fal.url).submit({ modelId: MODEL, input: PROMPT, startSeconds: null });
  return { generationId: 'g-1', modelId: MODEL, requestId, submittedAtMs: Date.now(), totalSeconds: 60, ...facts };
}

const awaiting = (url: string) => createAwaitFal({ fal: falClientAt(url), pauseMs: { first: 20, longest: 100 } });

describe('Awaiting fal.ai', () => {
  test('ends with the files and what is known of them', async () => {
    const fal = await falSimulator({ seconds: 0.2 });
    const result = await environment().run(awaiting(fal.url), await posted(fal));
    expect(result).toMatchObject({ seed: 7, inferenceSeconds: 0.2 });
    expect(result.files).toMatchObject([{ widthPx: 64, heightPx: 48, contentType: 'image/png' }]);
  });

  test('heartbeats where the request is, and that it runs', async () => {
    const fal = await falSimulator({ seconds: 2 });
    await posted(fal);
    const input = await posted(fal);
    const world = environment();
    const beats: FalProgress[] = [];
    world.onHeartbeat((beat: FalProgress) => beats.push(beat));
    await world.run(awaiting(fal.url), input);
    const { requestId } = input;
    expect(beats).toContainEqual({ requestId, phase: 'queued', queuePosition: 0, lastLog: null });
    expect(beats).toContainEqual({ requestId, phase: 'running', queuePosition: null, lastLog: 'Loading the model' });
  });

  test('goes on over 429, 5xx and lost connections: the request is paid for', async () => {
    const fal = await falSimulator();
    const input = await posted(fal);
    await armFal(fal, { kind: '5xx', status: 504, on: 'result', count: 2 });
    await armFal(fal, { kind: '5xx', status: 500, on: 'status' });
    await armFal(fal, { kind: '429', on: 'status', retryAfterSeconds: 1 });
    const startedAt = performance.now();
    expect((await environment().run(awaiting(fal.url), input)).files).toHaveLength(1);
    expect(performance.now() - startedAt).toBeGreaterThan(950); // Retry-After was honoured
  });

  test('goes on over a fal that is away for a while', async () => {
    const fal = await falSimulator({ seconds: 60 });
    const input = await posted(fal);
    await until('it runs', async () => falEvents(fal, 'started').length === 1);
    const run = environment().run(awaiting(fal.url), input);
    await fal.kill('SIGKILL');
    await falSimulator({ dataDir: fal.dataDir, port: fal.port });
    expect((await run).files).toHaveLength(1);
    expect(falEvents(fal, 'submitted')).toHaveLength(1);
  });

  test('that is cancelled cancels the request before it lets go', async () => {
    const fal = await falSimulator({ seconds: 60 });
    const input = await posted(fal);
    const world = environment();
    const run = world.run(awaiting(fal.url), input);
    await until('it runs', async () => falEvents(fal, 'started').length === 1);
    world.cancel('CANCELLED');
    await expect(run).rejects.toBeInstanceOf(CancelledFailure);
    expect(falEvents(fal, 'cancelled')).toMatchObject([{ requestId: input.requestId }]);
  });

  test('leaves the request alone when its worker stops', async () => {
    const fal = await falSimulator({ seconds: 60 });
    const world = environment();
    const run = world.run(awaiting(fal.url), await posted(fal));
    await until('it runs', async () => falEvents(fal, 'started').length === 1);
    world.cancel('WORKER_SHUTDOWN');
    await expect(run).rejects.toBeInstanceOf(CancelledFailure);
    expect(falEvents(fal, 'cancelled')).toEqual([]);
  });

  test('R1.7 ends with TIMEOUT at its deadline, after it has cancelled what hangs', async () => {
    const fal = await falSimulator();
    await armFal(fal, { kind: 'hang' });
    const input = await posted(fal, { totalSeconds: 0.5 });
    const failure = await failureOf(environment().run(awaiting(fal.url), input));
    expect(failure).toMatchObject({ type: 'TIMEOUT', nonRetryable: true });
    expect(failure.message).toMatch(/longer than its limit of 0.5 s; it was running/);
    expect(falEvents(fal, 'cancelled')).toMatchObject([{ requestId: input.requestId, phase: 'IN_PROGRESS' }]);
  });

  test('R1.7 the deadline counts from the submission, over attempts; what finished late is used', async () => {
    const fal = await falSimulator();
    const input = await posted(fal, { submittedAtMs: Date.now() - 3_600_000 });
    await until('it is completed', async () => falEvents(fal, 'finished').length === 1);
    expect((await environment({ attempt: 2 }).run(awaiting(fal.url), input)).files).toHaveLength(1);
  });

  test.each([
    ['422 about a face', { kind: '422', detailType: 'face_detection_error', field: 'image_url' }, 'NO_FACE'],
    ['422 about the picture', { kind: '422', detailType: 'image_load_error', field: 'image_url' }, 'BAD_INPUT'],
    ['422 about the text', { kind: '422' }, 'WORKFLOW_ERROR'],
    ['a runner that died', { kind: 'error_in_completed', errorType: 'runner_disconnected' }, 'NETWORK_ERROR'],
    ['a runner that took too long', { kind: 'error_in_completed', errorType: 'request_timeout' }, 'TIMEOUT'],
    ['an error of a new type', { kind: 'error_in_completed', errorType: 'earthquake' }, 'UNEXPECTED'],
  ])('ends for good with %s', async (_name, fault, type) => {
    const fal = await falSimulator();
    await armFal(fal, fault);
    const failure = await failureOf(environment().run(awaiting(fal.url), await posted(fal)));
    expect(failure).toMatchObject({ type, nonRetryable: true });
    expect(factsOf(failure)).toMatchObject({ provider: 'fal' });
  });

  test('of a request that somebody else cancelled ends with INTERRUPTED, of one that is unknown with PROMPT_LOST', async () => {
    const fal = await falSimulator({ seconds: 60 });
    const input = await posted(fal);
    await callFal(`${fal.url}/fal-ai/flux/requests/${input.requestId}/cancel`, { method: 'PUT' });
    const cancelled = await failureOf(environment().run(awaiting(fal.url), input));
    expect(cancelled).toMatchObject({ type: 'INTERRUPTED', nonRetryable: true });
    const unknown = environment().run(awaiting(fal.url), { ...input, requestId: 'r-1' });
    expect(await failureOf(unknown)).toMatchObject({ type: 'PROMPT_LOST', nonRetryable: true });
  });
});
