import { afterEach, describe, expect, test } from '@jest/globals';
import type { ComfyUIBackend } from '../../activities/comfyui/comfyui-backend.js';
import { GateSwitch } from '../../activities/comfyui/gate-switch.js';
import { createGraphReader } from '../../activities/storage/graph-reader.js';
import { createSubmitPrompt } from '../../activities/submit-prompt.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
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
  NO_INPUTS,
  storeHolding,
} from './support/activity-world.js';
import { GRAPH_REFERENCE, buildGraph, buildSubmission, queued } from './support/prompts.js';
import { countOf, simulator as anySimulator, simulatorsOf, stopSimulators } from './support/simulators.js';
import { closeStubs, freePort, sendJson, sendPage, startCuttingProxy, startStub } from './support/stub-server.js';

afterEach(async () => {
  await closeConnections();
  await Promise.all([stopSimulators(), closeStubs()]);
});

function submitter(backend: ComfyUIBackend, graph: ApiGraph) {
  const claims: string[] = [];
  const store = storeHolding({ [GRAPH_REFERENCE.key]: graph });
  const submitPrompt = createSubmitPrompt({
    rules: [],
    backend,
    store,
    readKeptGraph: createGraphReader(store),
    inputs: NO_INPUTS,
    gate: new GateSwitch(),
    maxQueued: 2,
    onModels: () => undefined,
    claims: {
      submitting: () => {
        claims.push('submitting');
        return () => claims.push('settled');
      },
    },
  });
  return { submitPrompt, claims };
}

describe.each(TIER_VERSIONS)('Submission to ComfyUI %s', (version) => {
  const simulator = simulatorsOf(version);

  test('looks before it posts: a second run finds the prompt of the first', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    const { submitPrompt, claims } = submitter(backendAt(comfy.url), buildGraph({ steps: 10 }));
    const input = buildSubmission();
    const first = await environment().run(submitPrompt, input);
    const second = await environment({ attempt: 2 }).run(submitPrompt, input);
    expect(first.nodeCount).toBe(7);
    expect(['pending', 'running']).toContain(second.state);
    expect(countOf(comfy, 'prompt_received')).toBe(1);
    expect(countOf(comfy, 'prompt_queued', input.promptId)).toBe(1);
    expect(claims).toEqual(['submitting', 'settled', 'submitting', 'settled']);
  });

  test('R2.6 a prompt that has finished meanwhile is not rendered again', async () => {
    const comfy = await simulator();
    const { submitPrompt } = submitter(backendAt(comfy.url), buildGraph());
    const input = buildSubmission();
    await environment().run(submitPrompt, input);
    await until('it is rendered', async () => countOf(comfy, 'rendering_finished', input.promptId) === 1);
    await until('it is in the history', async () => {
      return (await clientAt(comfy.url).promptState(input.promptId)).status === 'succeeded';
    });
    await expect(environment().run(submitPrompt, input)).resolves.toEqual({ state: 'finished', nodeCount: 7 });
    expect(countOf(comfy, 'prompt_received')).toBe(1);
  });

  test('two submissions of one generation are two prompts with prefixes of their own', async () => {
    const comfy = await simulator();
    const { submitPrompt } = submitter(backendAt(comfy.url), buildGraph());
    const first = buildSubmission({ generationId: 'g-1' });
    const second = buildSubmission({ generationId: 'g-1', submission: 2 });
    await environment().run(submitPrompt, first);
    await environment().run(submitPrompt, second);
    const files = await Promise.all(
      [first, second].map(async ({ promptId }) =>
        until('it succeeds', async () => {
          const state = await clientAt(comfy.url).promptState(promptId);
          return state.status === 'succeeded' ? state.finished.outputs.map(({ file }) => file?.subfolder) : null;
        }),
      ),
    );
    expect(files).toEqual([['dg/g-1/1'], ['dg/g-1/2']]);
  });

  test('R2.4 a missing model is named with its node and is never posted again', async () => {
    const comfy = await simulator();
    const graph = {
      ...buildGraph(),
      '4': node('CheckpointLoaderSimple', { ckpt_name: 'not-here.safetensors' }),
    };
    const { submitPrompt } = submitter(backendAt(comfy.url), graph);
    const failure = await failureOf(environment().run(submitPrompt, buildSubmission()));
    expect(failure).toMatchObject({ type: 'MODEL_MISSING', nonRetryable: true });
    expect(failure.message).toMatch(/node 4 \(CheckpointLoaderSimple\).*not-here\.safetensors/);
    expect(factsOf(failure)).toMatchObject({ faults: [{ nodeId: '4', inputName: 'ckpt_name' }] });
    expect(countOf(comfy, 'prompt_received')).toBe(1);
  });

  test('R2.4 an unknown sampler is a fault of the graph, named with node and input', async () => {
    const comfy = await simulator();
    const graph = buildGraph();
    const sampler = graph['3'];
    const inputs = { ...sampler?.inputs, sampler_name: 'eulerish' };
    const { submitPrompt } = submitter(backendAt(comfy.url), { ...graph, '3': { class_type: 'KSampler', inputs } });
    const failure = await failureOf(environment().run(submitPrompt, buildSubmission()));
    expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', nonRetryable: true });
    expect(failure.message).toMatch(/node 3 \(KSampler\).*sampler_name/);
    expect(factsOf(failure)).toMatchObject({ faults: [{ nodeId: '3', receivedValue: 'eulerish' }] });
  });

  test('R2.4 a missing node type is a fault of the graph, named by its class and not only by its title', async () => {
    const comfy = await simulator();
    const drawn = { ...node('SaveImageToMoon', { images: ['8', 0] }), _meta: { title: 'To the moon' } };
    const graph = { ...buildGraph(), '9': drawn };
    const { submitPrompt } = submitter(backendAt(comfy.url), graph);
    const failure = await failureOf(environment().run(submitPrompt, buildSubmission()));
    expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', nonRetryable: true });
    expect(failure.message).toContain('SaveImageToMoon');
  });

  test('R2.4 a graph that is accepted in part is refused, and nothing of it stays in the queue', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    const running = await queued(comfy.url, buildGraph({ steps: 20 }));
    const graph = { ...buildGraph({ seed: 2 }), '10': node('SaveImage', { filename_prefix: 'x' }) };
    const { submitPrompt } = submitter(backendAt(comfy.url), graph);
    const input = buildSubmission();
    const failure = await failureOf(environment().run(submitPrompt, input));
    expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', nonRetryable: true });
    expect(failure.message).toMatch(/node 10 \(SaveImage\)/);
    const client = clientAt(comfy.url);
    await expect(client.promptState(input.promptId)).resolves.toEqual({ status: 'absent' });
    await expect(client.promptState(running)).resolves.toEqual({ status: 'running' });
    expect(countOf(comfy, 'rendering_started', input.promptId)).toBe(0);
  });

  test('R2.4 a graph above the upload limit is an input that is too large', async () => {
    const comfy = await simulator({ extraArgs: ['--max-upload-size', '0.01'] });
    const { submitPrompt } = submitter(backendAt(comfy.url), buildGraph({ promptText: 'x'.repeat(20_000) }));
    const failure = await failureOf(environment().run(submitPrompt, buildSubmission()));
    expect(failure).toMatchObject({ type: 'INPUT_TOO_LARGE', nonRetryable: true });
  });

  test('a lost answer is looked for, and what arrived is not posted twice', async () => {
    const comfy = await simulator({ secondsPerStep: 0.1 });
    const proxy = await startCuttingProxy(comfy.port, (sent) => /POST \/api\/prompt [\s\S]*"prompt_id"/.test(sent));
    const { submitPrompt } = submitter(backendAt(proxy.url), buildGraph({ steps: 10 }));
    const input = buildSubmission();
    const submitted = await environment().run(submitPrompt, input);
    expect(['pending', 'running']).toContain(submitted.state);
    expect(countOf(comfy, 'prompt_received')).toBe(1);
    expect(countOf(comfy, 'prompt_queued', input.promptId)).toBe(1);
  });

  test.each(['CANCELLED', 'WORKER_SHUTDOWN'] as const)(
    '%s ends the submission and leaves the prompt alone: only the Workflow knows whether it is still wanted',
    async (reason) => {
      const comfy = await simulator({ secondsPerStep: 0.1 });
      const world = environment();
      const proxy = await startCuttingProxy(comfy.port, (sent) => {
        const isPosted = /POST \/api\/prompt [\s\S]*"prompt_id"/.test(sent);
        if (isPosted) world.cancel(reason);
        return false;
      });
      const { submitPrompt, claims } = submitter(backendAt(proxy.url), buildGraph({ steps: 100 }));
      const input = buildSubmission();
      await expect(world.run(submitPrompt, input)).rejects.toMatchObject({ name: 'CancelledFailure' });
      expect(claims).toEqual(['submitting', 'settled']);
      await until(
        'it renders',
        async () => (await clientAt(comfy.url).promptState(input.promptId)).status === 'running',
      );
      expect(countOf(comfy, 'interrupt')).toBe(0);
    },
  );
});

describe('B4 a graph of a caller is judged by the catalogue before it is posted', () => {
  const training = { ...buildGraph(), '20': { ...node('ResolutionBucket', {}), _meta: { title: 'Buckets' } } };
  const byCaller = { graphRules: { allowedClasses: [] } };

  test('a class whose category is denied ends it with node, title, class and reason', async () => {
    const comfy = await anySimulator();
    const { submitPrompt } = submitter(backendAt(comfy.url), training);
    const failure = await failureOf(environment().run(submitPrompt, buildSubmission(byCaller)));
    expect(failure).toMatchObject({ type: 'WORKFLOW_ERROR', nonRetryable: true });
    expect(failure.message).toMatch(/not submitted: node 20 "Buckets" \(ResolutionBucket\): this class trains a model/);
    expect(countOf(comfy, 'prompt_received')).toBe(0);
  });

  test.each([
    ['one that the operators allow', { graphRules: { allowedClasses: ['resolution*'] } }],
    ['that of a template', {}],
  ])('%s is posted, and ComfyUI judges', async (_name, rules) => {
    const comfy = await anySimulator();
    const { submitPrompt } = submitter(backendAt(comfy.url), training);
    await environment()
      .run(submitPrompt, buildSubmission(rules))
      .catch(() => undefined);
    expect(countOf(comfy, 'prompt_received')).toBe(1);
  });

  test('without a catalogue nothing is posted, and another backend may take it', async () => {
    const server = await startStub((request, response) => {
      if (request.url === '/api/prompt') sendJson(response, 200, { exec_info: { queue_remaining: 0 } });
      else response.writeHead(404).end('{"error":"Job not found"}');
    });
    const { submitPrompt } = submitter(knownBackend(clientAt(server.url)), buildGraph());
    const failure = await failureOf(environment().run(submitPrompt, buildSubmission(byCaller)));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: true });
    expect(failure.message).toContain('gpu-1 does not say which node classes it has');
    expect(server.requests.filter((line) => line.startsWith('POST'))).toEqual([]);
  });
});

describe('Submission to what is no usable ComfyUI', () => {
  test('R2.4 a server that refuses connections is a connection error with every address, to be tried again', async () => {
    const port = await freePort();
    const { submitPrompt } = submitter(backendAt(`http://127.0.0.1:${port}`), buildGraph());
    const failure = await failureOf(environment().run(submitPrompt, buildSubmission()));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    expect(factsOf(failure)).toEqual({ addresses: [{ address: `127.0.0.1:${port}`, said: 'connection refused' }] });
  });

  test.each([
    [500, 'UNEXPECTED', true],
    [503, 'NETWORK_ERROR', false],
  ])(
    'R2.4 HTTP %i to the graph is %s: an HTTP error, no connection error, never an empty success',
    async (status, kind, nonRetryable) => {
      const server = await startStub((request, response) => {
        if (request.method === 'POST') sendPage(response, status);
        else if (request.url === '/api/prompt') sendJson(response, 200, { exec_info: { queue_remaining: 0 } });
        else response.writeHead(404).end('{"error":"Job not found"}');
      });
      const { submitPrompt } = submitter(knownBackend(clientAt(server.url)), buildGraph());
      const failure = await failureOf(environment().run(submitPrompt, buildSubmission()));
      expect(failure).toMatchObject({ type: kind, nonRetryable });
      expect(factsOf(failure)).toEqual({ status, path: '/api/prompt' });
    },
  );

  test('R1.1 one that dies as soon as it has the prompt: it is submitted, and not posted once more', async () => {
    let isDead = false;
    const server = await startStub((request, response) => {
      if (isDead) request.socket.destroy();
      else if (request.method === 'POST') {
        isDead = true;
        sendJson(response, 200, { prompt_id: 'any', number: 1, node_errors: {} });
      } else if (request.url === '/api/prompt') sendJson(response, 200, { exec_info: { queue_remaining: 0 } });
      else response.writeHead(404).end('{"error":"Job not found"}');
    });
    const { submitPrompt } = submitter(knownBackend(clientAt(server.url)), buildGraph());
    expect(await environment().run(submitPrompt, buildSubmission())).toMatchObject({ state: 'pending' });
    expect(server.requests.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  test('the unexpected is tried twice and then ends', async () => {
    const server = await startStub((request, response) => {
      if (request.method === 'POST') sendPage(response, 500);
      else if (request.url === '/api/prompt') sendJson(response, 200, { exec_info: { queue_remaining: 0 } });
      else response.writeHead(404).end('{"error":"Job not found"}');
    });
    const { submitPrompt } = submitter(knownBackend(clientAt(server.url)), buildGraph());
    const failure = await failureOf(environment({ attempt: 2 }).run(submitPrompt, buildSubmission()));
    expect(failure).toMatchObject({ type: 'UNEXPECTED', nonRetryable: true });
  });

  test('a graph that is no longer in the store ends with its key', async () => {
    const comfy = await anySimulator();
    const { submitPrompt } = submitter(backendAt(comfy.url), buildGraph());
    const input = buildSubmission({ graph: { key: 'graphs/gone.json', sha256: 'b'.repeat(64) } });
    const failure = await failureOf(environment().run(submitPrompt, input));
    expect(failure).toMatchObject({ type: 'UNEXPECTED' });
    expect(failure.message).toContain('graphs/gone.json');
    expect(countOf(comfy, 'prompt_received')).toBe(0);
  });
});
