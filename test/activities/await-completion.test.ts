import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { WebSocketServer } from 'ws';
import { createAwaitCompletion } from '../../activities/await-completion.js';
import type { AwaitCompletionInput } from '../../workflows/contracts/activities.js';
import type { RenderingHeartbeat } from '../../workflows/contracts/generation.js';
import { node } from '../simulator/graphs.js';
import { TIER_VERSIONS } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import {
  backendAt,
  clientAt,
  closeConnections,
  environment,
  factsOf,
  failureOf,
  knownBackend,
} from './support/activity-world.js';
import { buildGraph, queued } from './support/prompts.js';
import { arm, countOf, simulatorsOf, stopSimulators } from './support/simulators.js';
import { closeStubs, freePort, sendJson, startStub } from './support/stub-server.js';

afterEach(async () => {
  await closeConnections();
  await Promise.all([stopSimulators(), closeStubs()]);
});

function buildInput(promptId: string, facts: Partial<AwaitCompletionInput> = {}): AwaitCompletionInput {
  return {
    generationId: 'g-1',
    promptId,
    nodeCount: 7,
    signalsStart: false,
    renderSeconds: 600,
    stallSeconds: 120,
    backendReturnSeconds: 60,
    ...facts,
  };
}

const noClaims = { ending: () => () => undefined };
const awaiting = (url: string, pollIntervalMs = 100) =>
  createAwaitCompletion({ rules: [], backend: backendAt(url), pollIntervalMs, claims: noClaims });

describe.each(TIER_VERSIONS)('Awaiting a prompt of ComfyUI %s', (version) => {
  const simulator = simulatorsOf(version);

  test('R2.6 one that was done before the first look completes like any other', async () => {
    const comfy = await simulator();
    const promptId = await queued(comfy.url, buildGraph());
    await until('it is done', async () => (await clientAt(comfy.url).promptState(promptId)).status === 'succeeded');
    const completed = await environment().run(awaiting(comfy.url), buildInput(promptId));
    expect(completed.outputs).toMatchObject([{ nodeId: '9', kind: 'image', file: { type: 'output' } }]);
    expect(completed.startedAtMs).toBeLessThanOrEqual(Date.now());
  });

  test('R2.6 one that ComfyUI serves from its cache completes with the files of the first', async () => {
    const comfy = await simulator();
    const first = await queued(comfy.url, buildGraph());
    const again = await queued(comfy.url, buildGraph());
    const awaitCompletion = awaiting(comfy.url);
    const [one, two] = await Promise.all([
      environment().run(awaitCompletion, buildInput(first)),
      environment().run(awaitCompletion, buildInput(again)),
    ]);
    expect(two.outputs).toEqual(one.outputs);
    expect(countOf(comfy, 'node_cached', again)).toBeGreaterThan(0);
  });

  test('R2.6 one whose outputs are only texts completes with texts', async () => {
    const comfy = await simulator();
    const promptId = await queued(comfy.url, { '1': node('PreviewAny', { source: 'a text' }) });
    const completed = await environment().run(awaiting(comfy.url), buildInput(promptId, { nodeCount: 1 }));
    expect(completed.outputs).toEqual([{ nodeId: '1', kind: 'text', file: null, textIndex: 0 }]);
  });

  test('a prompt that only has previews is a failure that says so, never an empty success', async () => {
    const comfy = await simulator();
    const promptId = await queued(comfy.url, {
      '1': node('EmptyImage', { width: 64, height: 64, batch_size: 1, color: 0 }),
      '2': node('PreviewImage', { images: ['1', 0] }),
    });
    const failure = await failureOf(environment().run(awaiting(comfy.url), buildInput(promptId, { nodeCount: 2 })));
    expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', nonRetryable: true });
    expect(failure.message).toContain('End it with a save node such as SaveImage');
  });

  test('a prompt of which a node let nothing through is a failure with what that node said', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 10 }));
    await arm(comfy, { kind: 'blocked', promptId, nodeType: 'VAEDecode', exceptionMessage: 'no mask was drawn' });
    const failure = await failureOf(environment().run(awaiting(comfy.url), buildInput(promptId)));
    expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', nonRetryable: true });
    expect(failure.message).toContain(
      'without a file, because a node let nothing through. Node 8 (VAEDecode): Execution Blocked: no mask was drawn',
    );
  });

  test('the end is noticed by the websocket, long before the next look', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 5 }));
    const startedAtMs = performance.now();
    await environment().run(awaiting(comfy.url, 20_000), buildInput(promptId));
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
  });

  test('from the end of the run until its result is known its place is not given away', async () => {
    const comfy = await simulator({ secondsPerStep: 0.05 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 5 }));
    const story: string[] = [];
    const claims = {
      ending: (generationId: string) => {
        story.push(`ending ${generationId}`);
        return () => story.push('settled');
      },
    };
    const awaitCompletion = createAwaitCompletion({
      rules: [],
      backend: backendAt(comfy.url),
      pollIntervalMs: 20_000,
      claims,
    });
    await environment().run(awaitCompletion, buildInput(promptId));
    expect(story).toEqual(['ending g-1', 'settled']);
  });

  test('R5.3 heartbeats carry prompt id, node, step and a percentage that never falls', async () => {
    const comfy = await simulator({ secondsPerStep: 0.7 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 10 }));
    const world = environment();
    const beats: RenderingHeartbeat[] = [];
    world.onHeartbeat((beat) => beats.push(beat));
    await world.run(awaiting(comfy.url), buildInput(promptId));
    expect(new Set(beats.map((beat) => beat.promptId))).toEqual(new Set([promptId]));
    expect(beats.some(({ nodeId, step, steps }) => nodeId === '3' && step !== null && steps === 10)).toBe(true);
    const percents = beats.map(({ percent }) => percent);
    expect(percents).toEqual([...percents].sort((a, b) => a - b));
    expect(percents.at(-1)).toBeGreaterThan(50);
    expect(
      beats.filter(({ state }) => state === 'running').every(({ runningSinceMs }) => runningSinceMs !== null),
    ).toBe(true);
  });

  test('a prompt that waits in the queue is pending, and its limit does not run', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    await queued(comfy.url, buildGraph({ steps: 30 }));
    const promptId = await queued(comfy.url, buildGraph({ steps: 1, seed: 2 }));
    const world = environment();
    const states = new Set<string>();
    world.onHeartbeat(({ state }) => states.add(state));
    await world.run(awaiting(comfy.url), buildInput(promptId, { renderSeconds: 1 }));
    expect(states.has('pending')).toBe(true);
  });

  test('that its prompt is being stopped is news: the answer to that heartbeat brings the cancel', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    await queued(comfy.url, buildGraph({ steps: 200 }));
    const promptId = await queued(comfy.url, buildGraph({ steps: 1, seed: 2 }));
    const backend = backendAt(comfy.url);
    const awaitCompletion = createAwaitCompletion({ rules: [], backend, pollIntervalMs: 20_000, claims: noClaims });
    const world = environment();
    const beats: RenderingHeartbeat[] = [];
    world.onHeartbeat((beat) => {
      beats.push(beat);
      if (beat.isStopped === true) world.cancel('CANCELLED');
    });
    const watching = expect(world.run(awaitCompletion, buildInput(promptId))).rejects.toThrow('CANCELLED');
    await until('the first heartbeat', async () => beats.length > 0);
    backend.forecast.stopped(promptId);
    const stoppedAt = performance.now();
    await watching;
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    expect(beats.at(-1)).toMatchObject({ state: 'pending', isStopped: true });
  });

  test('R4.1 rendering beyond its limit is a timeout, and the prompt is left to stopPrompt', async () => {
    const comfy = await simulator({ secondsPerStep: 0.2 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 100 }));
    const failure = await failureOf(
      environment().run(awaiting(comfy.url), buildInput(promptId, { renderSeconds: 0.5 })),
    );
    expect(failure).toMatchObject({ type: 'TIMEOUT', nonRetryable: true });
    expect(failure.message).toContain('0.5 s');
    expect(countOf(comfy, 'interrupt')).toBe(0);
  });

  test('R4.1 the limit counts from when rendering began, not from when this worker took over', async () => {
    const comfy = await simulator({ secondsPerStep: 0.2 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 100 }));
    const heartbeatDetails = { runningSinceMs: Date.now() - 60_000 };
    const failure = await failureOf(
      environment({ attempt: 2, heartbeatDetails }).run(
        awaiting(comfy.url),
        buildInput(promptId, { renderSeconds: 50 }),
      ),
    );
    expect(failure.type).toBe('TIMEOUT');
  });

  test('R3.5 a prompt that finished after its limit is used', async () => {
    const comfy = await simulator();
    const promptId = await queued(comfy.url, buildGraph());
    await until('it is done', async () => (await clientAt(comfy.url).promptState(promptId)).status === 'succeeded');
    const heartbeatDetails = { runningSinceMs: Date.now() - 3_600_000 };
    const completed = await environment({ attempt: 2, heartbeatDetails }).run(
      awaiting(comfy.url),
      buildInput(promptId, { renderSeconds: 1 }),
    );
    expect(completed.outputs).toHaveLength(1);
  });

  test('R1.1 a ComfyUI that dies in the middle and does not come back has crashed', async () => {
    const comfy = await simulator({ secondsPerStep: 0.05 });
    await arm(comfy, { kind: 'crash', nodeType: 'KSampler', atStep: 3 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 100 }));
    const failure = await failureOf(
      environment().run(awaiting(comfy.url), buildInput(promptId, { backendReturnSeconds: 1 })),
    );
    expect(failure).toMatchObject({ type: 'BACKEND_CRASHED', nonRetryable: true });
    expect(failure.message).toMatch(/away for 1 s/);
    expect((await comfy.ended).signal).toBe('SIGKILL');
  });

  test('a prompt that waited behind another when ComfyUI died was not running, and the other was', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    const first = await queued(comfy.url, buildGraph({ steps: 200, seed: 1 }));
    const second = await queued(comfy.url, buildGraph({ steps: 200, seed: 2 }));
    const awaitCompletion = awaiting(comfy.url, 200);
    const beats: string[] = [];
    const failing = async (promptId: string) => {
      const world = environment();
      world.onHeartbeat(({ state }) => beats.push(`${promptId} ${state}`));
      return failureOf(world.run(awaitCompletion, buildInput(promptId, { backendReturnSeconds: 1 })));
    };
    const failures = Promise.all([failing(first), failing(second)]);
    await until('both are seen', async () => beats.includes(`${first} running`) && beats.includes(`${second} pending`));
    const seen = beats.length;
    await until('the second is seen behind the first', async () => beats.length > seen + 4);
    await comfy.kill('SIGKILL');
    const [ofFirst, ofSecond] = await failures;
    expect([ofFirst.type, ofSecond.type]).toEqual(['BACKEND_CRASHED', 'BACKEND_CRASHED']);
    expect([factsOf(ofFirst)['wasRunning'], factsOf(ofSecond)['wasRunning']]).toEqual([true, false]);
  });

  test("a prompt that waited behind a stranger's when ComfyUI died was not running either", async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    await queued(comfy.url, buildGraph({ steps: 200, seed: 1 })); // nobody here knows of it
    const promptId = await queued(comfy.url, buildGraph({ steps: 200, seed: 2 }));
    const world = environment();
    let beats = 0;
    world.onHeartbeat(({ isBehindAnother }) => (beats += isBehindAnother === true ? 1 : 0));
    const failing = failureOf(world.run(awaiting(comfy.url, 200), buildInput(promptId, { backendReturnSeconds: 1 })));
    await until('it is seen behind the other', async () => beats > 0, 10_000);
    await comfy.kill('SIGKILL');
    const failure = await failing;
    expect([failure.type, factsOf(failure)['wasRunning']]).toEqual(['BACKEND_CRASHED', false]);
  });

  test('R2.5 a ComfyUI that comes back without the prompt has crashed: the prompt is not lost', async () => {
    const port = await freePort();
    const first = await simulator({ secondsPerStep: 0.1, port });
    const promptId = await queued(first.url, buildGraph({ steps: 200 }));
    const world = environment();
    const isRendering = new Promise<void>((resolve) => {
      world.onHeartbeat(({ state }) => {
        if (state === 'running') resolve();
      });
    });
    const backend = backendAt(first.url);
    const run = failureOf(
      world.run(
        createAwaitCompletion({ rules: [], backend, pollIntervalMs: 50, claims: noClaims }),
        buildInput(promptId),
      ),
    );
    await isRendering;
    await first.kill('SIGKILL');
    await until('the outage is noticed', async () => backend.snapshot().answers.length > 0);
    await simulator({ port });
    const failure = await run;
    expect(failure.type).toBe('BACKEND_CRASHED');
    expect(failure.message).toMatch(/restarted and no longer knows/);
  });

  test('R2.5 a restart that nobody saw is a crash: an earlier prompt is gone from the history, too', async () => {
    const port = await freePort();
    const first = await simulator({ port });
    const canary = await queued(first.url, buildGraph());
    await environment().run(awaiting(first.url), buildInput(canary));
    await first.kill('SIGKILL');
    await simulator({ port });
    // As after a restart of the whole machine: this worker has never seen a connection break.
    const heartbeatDetails = { canary, runningSinceMs: Date.now() };
    const startedAtMs = performance.now();
    const failure = await failureOf(
      environment({ attempt: 2, heartbeatDetails }).run(awaiting(first.url), buildInput('p-2')),
    );
    expect(failure.type).toBe('BACKEND_CRASHED');
    expect(performance.now() - startedAtMs).toBeLessThan(10_000); // R2.5's looks take 34 s
  });

  test('the heartbeat carries an earlier prompt of the same ComfyUI from worker to worker', async () => {
    const comfy = await simulator({ secondsPerStep: 0.02 });
    const earlier = await queued(comfy.url, buildGraph({ seed: 1 }));
    const awaitCompletion = awaiting(comfy.url);
    await environment().run(awaitCompletion, buildInput(earlier));
    const world = environment();
    const canaries = new Set<unknown>();
    world.onHeartbeat(({ canary }) => canaries.add(canary));
    const promptId = await queued(comfy.url, buildGraph({ seed: 2, steps: 100 }));
    await world.run(awaitCompletion, buildInput(promptId));
    expect([...canaries]).toEqual([earlier]);
  });

  test('an interruption that nobody here asked for is named', async () => {
    const comfy = await simulator({ secondsPerStep: 0.05 });
    const promptId = await queued(comfy.url, buildGraph({ steps: 400 }));
    const world = environment();
    world.onHeartbeat(({ state }) => {
      if (state === 'running') void fetch(`${comfy.url}/interrupt`, { method: 'POST' });
    });
    const failure = await failureOf(world.run(awaiting(comfy.url), buildInput(promptId)));
    expect(failure).toMatchObject({ type: 'INTERRUPTED', nonRetryable: true });
  });

  test('R5.1 an exception of a node is classified and carries its evidence', async () => {
    const comfy = await simulator();
    const graph = { ...buildGraph(), '9': node('SaveImage', { filename_prefix: '../../out', images: ['8', 0] }) };
    const promptId = await queued(comfy.url, graph);
    const failure = await failureOf(environment().run(awaiting(comfy.url), buildInput(promptId)));
    expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', nonRetryable: true });
    expect(failure.message).toMatch(/^Node 9 \(SaveImage\) failed: .*outside the output folder/);
    expect(factsOf(failure)).toMatchObject({ nodeId: '9', nodeType: 'SaveImage', exceptionType: 'Exception' });
  });

  test.each(['WORKER_SHUTDOWN', 'CANCELLED'] as const)(
    '%s ends the watching at once and leaves the prompt alone',
    async (reason) => {
      const comfy = await simulator({ secondsPerStep: 0.05 });
      const promptId = await queued(comfy.url, buildGraph({ steps: 60 }));
      const world = environment();
      world.onHeartbeat(({ state }) => {
        if (state === 'running') world.cancel(reason);
      });
      const run = world.run(awaiting(comfy.url, 20_000), buildInput(promptId));
      await expect(run).rejects.toMatchObject({ name: 'CancelledFailure' });
      expect(countOf(comfy, 'interrupt')).toBe(0);
      const completed = await environment({ attempt: 2 }).run(awaiting(comfy.url), buildInput(promptId));
      expect(completed.outputs).toHaveLength(1);
      expect(countOf(comfy, 'rendering_started')).toBe(1);
    },
  );
});

test('heartbeats go on while ComfyUI is silent: its event loop blocks while a model loads', async () => {
  const silent = await startStub(() => undefined); // takes every request and answers none
  const world = environment();
  let beats = 0;
  world.onHeartbeat(() => {
    beats += 1;
  });
  const backend = knownBackend(clientAt(silent.url));
  const running = world.run(
    createAwaitCompletion({ rules: [], backend, pollIntervalMs: 100, claims: noClaims }),
    buildInput('p-1'),
  );
  await until('beats during one look', async () => beats >= 3);
  expect(silent.requests.filter((request) => request.includes('/api/jobs/'))).toHaveLength(1);
  world.cancel('WORKER_SHUTDOWN');
  await expect(running).rejects.toMatchObject({ name: 'CancelledFailure' });
});

test('an end between a look and the connection of the websocket, whose events are lost, is not waited for', async () => {
  const outputs = { 1: { text: ['a text'] } };
  const finished = { status: 'completed', outputs, execution_status: { messages: [['execution_success', {}]] } };
  let looks = 0;
  const server = createServer((_request, response) => {
    looks += 1;
    sendJson(response, 200, looks === 1 ? { status: 'in_progress' } : finished);
  });
  const sockets = new WebSocketServer({
    server,
    verifyClient: (_info, accept: (isAccepted: boolean) => void) =>
      void until('the first look', async () => looks === 1).then(() => {
        accept(true);
      }),
  });
  sockets.on('connection', (client) => {
    client.send(JSON.stringify({ type: 'status', data: { status: {}, sid: 'p-1' } }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const backend = knownBackend(clientAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  const awaitCompletion = createAwaitCompletion({ rules: [], backend, pollIntervalMs: 60_000, claims: noClaims });
  expect(await environment().run(awaitCompletion, buildInput('p-1'))).toMatchObject({ outputs: [{ kind: 'text' }] });
  expect(looks).toBe(2);
  await closeConnections();
  sockets.close();
  server.close();
});
