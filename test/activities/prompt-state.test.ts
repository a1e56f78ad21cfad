import { afterEach, describe, expect, test } from '@jest/globals';
import { outputReferencesOf } from '../../activities/comfyui/output-references.js';
import { finishedStateOf } from '../../activities/comfyui/prompt-state.js';
import { node, textToImage } from '../simulator/graphs.js';
import { TIER_VERSIONS } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { clientAt, closeConnections } from './support/activity-world.js';
import { buildGraph, queued } from './support/prompts.js';
import { arm, simulatorsOf, stopSimulators } from './support/simulators.js';
import { closeStubs, sendJson, startStub } from './support/stub-server.js';
import type { StubServer } from './support/stub-server.js';

afterEach(async () => {
  await closeConnections();
  await Promise.all([stopSimulators(), closeStubs()]);
});

const PROMPT_ID = '0f0f0f0f-0000-5000-8000-000000000001';
const entry = (messages: readonly (readonly [string, object])[], outputs: object = {}) => ({
  outputs,
  status: { status_str: 'success', completed: true, messages },
});

/** A ComfyUI before 0.6.0: the jobs route is unknown and answers 404 without a body. */
function oldComfyUI(queue: object, history: object): Promise<StubServer> {
  return startStub((request, response) => {
    if (request.url?.startsWith('/api/jobs/') === true) response.writeHead(404).end();
    else if (request.url === '/api/queue') sendJson(response, 200, queue);
    else sendJson(response, 200, history);
  });
}

const queueOf = (running: readonly string[], pending: readonly string[]) => ({
  queue_running: running.map((id, index) => [index, id, {}, {}, []]),
  queue_pending: pending.map((id, index) => [index, id, {}, {}, []]),
});

describe.each(TIER_VERSIONS)('A prompt on ComfyUI %s', (version) => {
  const simulator = simulatorsOf(version);

  test('pending, running, succeeded and absent are told apart', async () => {
    const comfy = await simulator({ secondsPerStep: 0.2 });
    const client = clientAt(comfy.url);
    const running = await queued(comfy.url, buildGraph({ steps: 5, prefix: 'told' }));
    const pending = await queued(comfy.url, buildGraph({ steps: 1, seed: 2 }));
    await until('the first runs', async () => (await client.promptState(running)).status === 'running');
    await expect(client.promptState(pending)).resolves.toEqual({ status: 'pending' });
    await expect(client.promptState(PROMPT_ID)).resolves.toEqual({ status: 'absent' });
    const state = await until('the first succeeds', async () => {
      const seen = await client.promptState(running);
      return seen.status === 'succeeded' ? seen : null;
    });
    expect(state.finished.outputs).toEqual([
      {
        nodeId: '9',
        kind: 'image',
        textIndex: 0,
        file: { filename: 'told_00001_.png', subfolder: '', type: 'output' },
      },
    ]);
    expect(state.finished.startedAtMs).toBeLessThanOrEqual(Date.now());
  });

  test('an interrupted prompt is no failed one', async () => {
    const comfy = await simulator({ secondsPerStep: 0.05 });
    const client = clientAt(comfy.url);
    const promptId = await queued(comfy.url, buildGraph({ steps: 200 }));
    await until('it runs', async () => (await client.promptState(promptId)).status === 'running');
    await until('it stops', async () => {
      await client.stop(promptId);
      return (await client.promptState(promptId)).status === 'interrupted';
    });
  });

  test('R2.6 texts are outputs, too', async () => {
    const comfy = await simulator();
    const client = clientAt(comfy.url);
    const promptId = await queued(comfy.url, { '1': node('PreviewAny', { source: 'a text' }) });
    const state = await until('it succeeds', async () => {
      const seen = await client.promptState(promptId);
      return seen.status === 'succeeded' ? seen : null;
    });
    expect(state.finished.outputs).toEqual([{ nodeId: '1', kind: 'text', file: null, textIndex: 0 }]);
    expect(state.finished.texts).toEqual({ '1': ['a text'] });
  });

  test('R4.2 an exception of a node is reported with its node', async () => {
    const comfy = await simulator();
    const client = clientAt(comfy.url);
    const graph = { ...textToImage(), '9': node('SaveImage', { filename_prefix: '../../out', images: ['8', 0] }) };
    const promptId = await queued(comfy.url, graph);
    const state = await until('it fails', async () => {
      const seen = await client.promptState(promptId);
      return seen.status === 'failed' ? seen : null;
    });
    expect(state.error).toMatchObject({ nodeId: '9', nodeType: 'SaveImage' });
    expect(state.error.exceptionMessage).toMatch(/outside the output folder/);
  });

  test('a vanished prompt is absent', async () => {
    const comfy = await simulator();
    await arm(comfy, { kind: 'vanish' });
    const client = clientAt(comfy.url);
    const promptId = await queued(comfy.url, buildGraph());
    await until('it is gone', async () => (await client.promptState(promptId)).status === 'absent');
  });
});

describe('The looks for a prompt', () => {
  test('an unknown prompt is absent on a server with the jobs route, without asking for queue and history', async () => {
    const server = await startStub((_request, response) => sendJson(response, 404, { error: 'Job not found' }));
    await expect(clientAt(server.url).promptState(PROMPT_ID)).resolves.toEqual({ status: 'absent' });
    expect(server.requests).toEqual([`GET /api/jobs/${PROMPT_ID}`]);
  });

  test('a cancelled job is an interrupted prompt, whatever else is told of it', async () => {
    const server = await startStub((_request, response) => sendJson(response, 200, { status: 'cancelled' }));
    await expect(clientAt(server.url).promptState(PROMPT_ID)).resolves.toEqual({ status: 'interrupted' });
  });

  test('on a server without the jobs route the queue is looked at first and the history second', async () => {
    const history = { [PROMPT_ID]: entry([['execution_success', { timestamp: 7 }]]) };
    const server = await oldComfyUI(queueOf(['other'], []), history);
    const state = await clientAt(server.url).promptState(PROMPT_ID);
    expect(state).toMatchObject({ status: 'succeeded', finished: { outputs: [] } });
    expect(server.requests).toEqual([`GET /api/jobs/${PROMPT_ID}`, 'GET /api/queue', `GET /api/history/${PROMPT_ID}`]);
  });

  test.each([
    ['running', queueOf([PROMPT_ID], [])],
    ['pending', queueOf(['other'], ['another', PROMPT_ID])],
  ])('on a server without the jobs route a %s prompt is found in the queue alone', async (status, queue) => {
    const server = await oldComfyUI(queue, {});
    await expect(clientAt(server.url).promptState(PROMPT_ID)).resolves.toEqual({ status });
    expect(server.requests).toHaveLength(2);
  });

  test('a prompt in neither queue nor history is absent', async () => {
    const server = await oldComfyUI(queueOf([], []), {});
    await expect(clientAt(server.url).promptState(PROMPT_ID)).resolves.toEqual({ status: 'absent' });
  });

  test('a record with NaN in it is readable', async () => {
    const server = await startStub((_request, response) => {
      response.end(
        '{"status":"completed","outputs":{"1":{"x":[NaN]}},"execution_status":{"messages":[["execution_success",{}]]}}',
      );
    });
    await expect(clientAt(server.url).promptState(PROMPT_ID)).resolves.toMatchObject({ status: 'succeeded' });
  });
});

describe('How a prompt ended', () => {
  test('R4.2 a failed one carries node, type, trimmed message and the last traceback line', () => {
    const error = {
      ...{ node_id: '3', node_type: 'KSampler', exception_type: 'torch.OutOfMemoryError' },
      ...{ exception_message: 'Allocation on device \nTIPS\n', traceback: ['first\n', '  last \n'] },
    };
    expect(
      finishedStateOf(
        entry([
          ['execution_start', {}],
          ['execution_error', error],
        ]),
      ),
    ).toEqual({
      status: 'failed',
      error: {
        ...{ nodeId: '3', nodeType: 'KSampler', exceptionType: 'torch.OutOfMemoryError' },
        ...{ exceptionMessage: 'Allocation on device \nTIPS', lastTracebackLine: 'last' },
      },
    });
  });

  test('the last message decides, not status_str: a stale success without an end is a failure', () => {
    expect(finishedStateOf(entry([['execution_start', {}]]))).toMatchObject({ status: 'failed' });
    expect(finishedStateOf(entry([['execution_interrupted', {}]]))).toEqual({ status: 'interrupted' });
  });

  test('a blocked node that let the run go on is no failure', () => {
    const blocked = ['execution_error', { exception_type: 'ExecutionBlocked' }] as const;
    expect(finishedStateOf(entry([blocked, ['execution_success', {}]]))).toMatchObject({ status: 'succeeded' });
  });

  test('files are found under any key, in the order of the nodes; previews and items that are no files are not', () => {
    const outputs = {
      '10': { gifs: [{ filename: 'b.MP4', subfolder: 'v', type: 'output' }], animated: [true] },
      '9': {
        images: [
          { filename: 'a.png', subfolder: '', type: 'output' },
          { filename: 't.png', type: 'temp' },
        ],
      },
      '11': { audio: [{ filename: 'c.flac' }], result: [null, 7, 'x', { filename: '' }] },
      '12': { files: [{ filename: 'no-extension' }] },
    };
    expect(outputReferencesOf(outputs, {}).map(({ nodeId, kind, file }) => [nodeId, kind, file?.filename])).toEqual([
      ['9', 'image', 'a.png'],
      ['10', 'video', 'b.MP4'],
      ['11', 'audio', 'c.flac'],
      ['12', 'file', 'no-extension'],
    ]);
  });
});
