import { afterEach, describe, expect, test } from '@jest/globals';
import { createStopPrompt } from '../../activities/stop-prompt.js';
import { until } from '../support/until.js';
import { backendAt, clientAt, closeConnections, environment } from './support/activity-world.js';
import { buildGraph, queued } from './support/prompts.js';
import { countOf, simulator, stopSimulators } from './support/simulators.js';

afterEach(async () => {
  await closeConnections();
  await stopSimulators();
});

const slow = { secondsPerStep: 0.05 };

async function untilRunning(url: string, promptId: string): Promise<void> {
  await until('it runs', async () => (await clientAt(url).promptState(promptId)).status === 'running');
}

describe('Stopping a prompt', () => {
  test('a pending prompt is removed, and the one that runs is not touched', async () => {
    const comfy = await simulator(slow);
    const other = await queued(comfy.url, buildGraph({ steps: 40 }));
    const promptId = await queued(comfy.url, buildGraph({ seed: 2 }));
    await untilRunning(comfy.url, other);
    const stopPrompt = createStopPrompt({ backend: backendAt(comfy.url) });
    await expect(environment().run(stopPrompt, { promptId })).resolves.toEqual({ outcome: 'removed' });
    expect(countOf(comfy, 'rendering_started', promptId)).toBe(0);
    await expect(clientAt(comfy.url).promptState(other)).resolves.toEqual({ status: 'running' });
    expect(countOf(comfy, 'interrupt')).toBe(0);
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
    await expect(environment({ attempt: 2 }).run(stopPrompt, { promptId })).resolves.toEqual({ outcome: 'absent' });
  });
});
