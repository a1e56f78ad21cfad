import { afterEach, describe, expect, test } from '@jest/globals';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { ComfyUIError } from '../../activities/comfyui/errors.js';
import type { PromptState } from '../../activities/comfyui/prompt-state.js';
import { createStopPrompt } from '../../activities/stop-prompt.js';
import { TIER_VERSIONS } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { backendAt, clientAt, closeConnections, environment, knownBackend } from './support/activity-world.js';
import { buildGraph, queued } from './support/prompts.js';
import { countOf, simulatorsOf, stopSimulators } from './support/simulators.js';
import { closeStubs, sendJson, startStub } from './support/stub-server.js';

afterEach(async () => {
  await closeConnections();
  await Promise.all([stopSimulators(), closeStubs()]);
});

const slow = { secondsPerStep: 0.05 };

async function untilRunning(url: string, promptId: string): Promise<void> {
  await until('it runs', async () => (await clientAt(url).promptState(promptId)).status === 'running');
}

describe.each(TIER_VERSIONS)('Stopping a prompt of ComfyUI %s', (version) => {
  const simulator = simulatorsOf(version);

  test('a pending prompt is removed, and the one that runs is not touched', async () => {
    const comfy = await simulator(slow);
    const other = await queued(comfy.url, buildGraph({ steps: 40 }));
    const promptId = await queued(comfy.url, buildGraph({ seed: 2 }));
    await untilRunning(comfy.url, other);
    const backend = backendAt(comfy.url);
    backend.forecast.observed(promptId, null, null);
    const stopPrompt = createStopPrompt({ backend });
    await expect(environment().run(stopPrompt, { promptId })).resolves.toEqual({ outcome: 'removed' });
    expect(backend.forecast.isStopped(promptId)).toBe(true); // its watch says so
    expect(countOf(comfy, 'rendering_started', promptId)).toBe(0);
    await expect(clientAt(comfy.url).promptState(other)).resolves.toEqual({ status: 'running' });
    expect(comfy.journal().filter(({ event, hits }) => event === 'interrupt' && hits === true)).toEqual([]);
  });

  test('a running prompt is interrupted, and the one that waits behind it is rendered', async () => {
    const comfy = await simulator(slow);
    const promptId = await queued(comfy.url, buildGraph({ steps: 1_000 }));
    const other = await queued(comfy.url, buildGraph({ steps: 1, seed: 2 }));
    await untilRunning(comfy.url, promptId);
    const stopPrompt = createStopPrompt({ backend: backendAt(comfy.url) });
    await expect(environment().run(stopPrompt, { promptId })).resolves.toEqual({ outcome: 'interrupted' });
    await until('the other is done', async () => {
      return (await clientAt(comfy.url).promptState(other)).status === 'succeeded';
    });
    // By its id each time: the same request without one stops whatever runs when it arrives.
    const interrupts = comfy.journal().filter(({ event }) => event === 'interrupt');
    expect(new Set(interrupts.map((entry) => entry.promptId))).toEqual(new Set([promptId]));
    // In one step where ComfyUI has a request for it.
    expect(interrupts.every(({ by }) => by === 'cancel')).toBe(version === '0.38.1');
  });

  test('a prompt that begins to run between the look and the request is interrupted all the same', async () => {
    const comfy = await simulator(slow);
    const promptId = await queued(comfy.url, buildGraph({ steps: 1_000 }));
    await untilRunning(comfy.url, promptId);
    const client = clientAt(comfy.url);
    const looks: PromptState['status'][] = [];
    const behind: ComfyUIClient = {
      ...client,
      promptState: async (id, signal) => {
        const state = looks.length === 0 ? ({ status: 'pending' } as const) : await client.promptState(id, signal);
        looks.push(state.status);
        return state;
      },
    };
    const stopPrompt = createStopPrompt({ backend: knownBackend(behind) });
    await expect(environment().run(stopPrompt, { promptId })).resolves.toEqual({ outcome: 'interrupted' });
    expect(looks[1]).not.toBe('pending');
  });

  test('a prompt that is done stays done, and one that never was is absent', async () => {
    const comfy = await simulator();
    const promptId = await queued(comfy.url, buildGraph());
    await until('it is done', async () => (await clientAt(comfy.url).promptState(promptId)).status === 'succeeded');
    const stopPrompt = createStopPrompt({ backend: backendAt(comfy.url) });
    await expect(environment().run(stopPrompt, { promptId })).resolves.toEqual({ outcome: 'finished' });
    const unknown = '0f0f0f0f-0000-5000-8000-000000000001';
    await expect(environment().run(stopPrompt, { promptId: unknown })).resolves.toEqual({ outcome: 'absent' });
  });

  test('twice is as good as once', async () => {
    const comfy = await simulator(slow);
    const promptId = await queued(comfy.url, buildGraph({ steps: 1_000 }));
    await untilRunning(comfy.url, promptId);
    const stopPrompt = createStopPrompt({ backend: backendAt(comfy.url) });
    await environment().run(stopPrompt, { promptId });
    await expect(environment({ attempt: 2 }).run(stopPrompt, { promptId })).resolves.toEqual({
      outcome: 'interrupted',
    });
    expect(countOf(comfy, 'rendering_finished', promptId)).toBe(1);
  });
});

describe('A request to stop', () => {
  const promptId = '0f0f0f0f-0000-5000-8000-000000000001';
  const cancelPath = `POST /api/jobs/${promptId}/cancel`;

  test('is one request where ComfyUI has one for it', async () => {
    const server = await startStub((_request, response) => sendJson(response, 200, { cancelled: false }));
    await clientAt(server.url).stop(promptId);
    expect(server.requests).toEqual([cancelPath]);
  });

  test.each([404, 405])(
    'that is answered %i is sent in the older way: out of the queue, then interrupt',
    async (status) => {
      const server = await startStub((request, response) => {
        response.writeHead(request.url?.startsWith('/api/jobs/') === true ? status : 200).end();
      });
      await clientAt(server.url).stop(promptId);
      expect(server.requests).toEqual([cancelPath, 'POST /api/queue', 'POST /api/interrupt']);
    },
  );

  test.each([
    [500, 'trouble'],
    [200, '<!DOCTYPE html>'],
  ])('that is answered %i with something else is an error, and nothing more is sent', async (status, text) => {
    const server = await startStub((_request, response) => response.writeHead(status).end(text));
    await expect(clientAt(server.url).stop(promptId)).rejects.toBeInstanceOf(ComfyUIError);
    expect(server.requests).toEqual([cancelPath]);
  });
});
