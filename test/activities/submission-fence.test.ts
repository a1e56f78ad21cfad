import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { ComfyUIBackend } from '../../activities/comfyui/comfyui-backend.js';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { GateSwitch } from '../../activities/comfyui/gate-switch.js';
import { PROMPT_MARKER } from '../../activities/comfyui/prompt-marker.js';
import { claimKey } from '../../activities/storage/claim-record.js';
import type { ClaimRecord } from '../../activities/storage/claim-record.js';
import { createGraphReader } from '../../activities/storage/graph-reader.js';
import { createSubmitPrompt } from '../../activities/submit-prompt.js';
import type { SubmitPromptInput } from '../../workflows/contracts/activities.js';
import { TIER_VERSIONS } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import {
  backendAt,
  clientAt,
  closeConnections,
  environment,
  failureOf,
  knownBackend,
  NO_INPUTS,
  storeHolding,
} from './support/activity-world.js';
import { GRAPH_REFERENCE, buildGraph, buildSubmission, queued } from './support/prompts.js';
import { countOf, simulatorsOf, stopSimulators } from './support/simulators.js';

afterEach(async () => {
  jest.restoreAllMocks();
  await closeConnections();
  await stopSimulators();
});

const held: ClaimRecord = { submission: 1, backendId: 'gpu-1', ended: false };

/** A submission on a backend whose claim record and gate the test sets. */
function submitter(backend: ComfyUIBackend, options: { readonly claim?: ClaimRecord; readonly steps?: number } = {}) {
  const { claim = held, steps = 10 } = options;
  const input = buildSubmission();
  const documents: Record<string, unknown> = {
    [GRAPH_REFERENCE.key]: buildGraph({ steps }),
    [claimKey(input.generationId)]: claim,
  };
  const gate = new GateSwitch();
  const store = storeHolding(documents);
  const claims = { submitting: () => () => undefined };
  const submitPrompt = createSubmitPrompt({
    backend,
    store,
    readKeptGraph: createGraphReader(store),
    inputs: NO_INPUTS,
    gate,
    rules: [],
    maxQueued: 2,
    claims,
    onModels: () => undefined,
  });
  const claimedBy = (record: ClaimRecord) => {
    documents[claimKey(input.generationId)] = record;
  };
  return { input, gate, claimedBy, submit: async (attempt = 1) => environment({ attempt }).run(submitPrompt, input) };
}

/** Posts the prompt of a submission as a POST that comes late does: nobody looks first. */
async function postAgain(client: ComfyUIClient, { promptId, generationId, submission }: SubmitPromptInput) {
  const extraData = { [PROMPT_MARKER]: { generationId, submission } };
  await client.submit({ graph: buildGraph({ steps: 10, seed: 5 }), promptId, extraData });
}

/** From the call of the answer on, the clock has moved on as it has for a process that was stopped. */
function stopClockFor(ms: number): () => void {
  const now = performance.now.bind(performance);
  let offset = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => now() + offset);
  return () => {
    offset = ms;
  };
}

describe.each(TIER_VERSIONS)('On ComfyUI %s', (version) => {
  const simulator = simulatorsOf(version);

  describe('A submission at a gate', () => {
    test('that is closed posts nothing and ends, so that the generation is claimed elsewhere', async () => {
      const comfy = await simulator();
      const { submit, gate } = submitter(backendAt(comfy.url));
      gate.set('closed');
      await expect(failureOf(submit())).resolves.toMatchObject({
        ...{ type: 'NETWORK_ERROR', nonRetryable: true },
        message: 'The gate of backend gpu-1 is closed',
      });
      expect(countOf(comfy, 'prompt_received')).toBe(0);
    });

    test('that is draining still posts what was claimed before', async () => {
      const comfy = await simulator();
      const { submit, gate } = submitter(backendAt(comfy.url));
      gate.set('draining');
      await submit();
      expect(countOf(comfy, 'prompt_received')).toBe(1);
    });

    test('that is closed finds a prompt that an earlier attempt has posted', async () => {
      const comfy = await simulator({ secondsPerStep: 0.2 });
      const { submit, gate } = submitter(backendAt(comfy.url));
      await submit();
      gate.set('closed');
      await expect(submit(2)).resolves.toMatchObject({ nodeCount: 7 });
      expect(countOf(comfy, 'prompt_received')).toBe(1);
    });
  });

  describe('The fence of a submission', () => {
    test.each<[string, ClaimRecord, RegExp]>([
      ['has ended', { ...held, ended: true }, /has ended/],
      ['has a later number', { ...held, submission: 2 }, /holds submission 2, this is 1/],
      ['belongs to another backend', { ...held, backendId: 'gpu-2' }, /Backend gpu-2 holds/],
    ])('a claim that %s refuses, and nothing is posted', async (_, claim, message) => {
      const comfy = await simulator();
      const { submit } = submitter(backendAt(comfy.url), { claim });
      const failure = await failureOf(submit());
      expect(failure.message).toMatch(message);
      expect(failure.nonRetryable).toBe(true);
      expect(countOf(comfy, 'prompt_received')).toBe(0);
    });

    test('a worker that was paused while it posted looks again, and takes back what nobody waits for', async () => {
      const comfy = await simulator({ secondsPerStep: 0.2 });
      const client = clientAt(comfy.url);
      const wake = stopClockFor(60_000);
      const { submit, input, claimedBy } = submitter(
        knownBackend({
          ...client,
          submit: async (prompt) => {
            claimedBy({ submission: 2, backendId: 'gpu-2', ended: false });
            await client.submit(prompt);
            wake();
          },
        }),
        { steps: 1_000 },
      );
      expect((await failureOf(submit())).message).toContain('Backend gpu-2 holds submission 2');
      expect(countOf(comfy, 'prompt_received')).toBe(1);
      await until('nothing is left of it', async () => {
        const { status } = await client.promptState(input.promptId);
        return status === 'absent' || status === 'interrupted';
      });
    });
  });

  describe('The depth of the queue', () => {
    test('a submission waits while others fill the queue, and posts as soon as there is room', async () => {
      const comfy = await simulator({ secondsPerStep: 0.2 });
      const running = await queued(comfy.url, buildGraph({ steps: 1_000 }));
      await queued(comfy.url, buildGraph({ steps: 1_000, seed: 2 }));
      const { submit } = submitter(backendAt(comfy.url));
      let isOver = false;
      const submitted = submit().finally(() => (isOver = true));
      const client = clientAt(comfy.url);
      await until('it has had the time to post', async () => {
        // Each look of ours takes as long as one of its own.
        for (let look = 0; look < 50; look += 1) await client.queueRemaining();
        return true;
      });
      expect(isOver).toBe(false);
      expect(countOf(comfy, 'prompt_received')).toBe(2);
      await client.stop(running);
      await expect(submitted).resolves.toMatchObject({ state: 'pending' });
    });

    test('a submission that finds no room for long gives way to another backend', async () => {
      const comfy = await simulator({ secondsPerStep: 0.2 });
      const client = clientAt(comfy.url);
      await queued(comfy.url, buildGraph({ steps: 1_000 }));
      await queued(comfy.url, buildGraph({ steps: 1_000, seed: 2 }));
      const wake = stopClockFor(21_000);
      const { submit } = submitter(
        knownBackend({
          ...client,
          queueRemaining: async (signal) => {
            wake();
            return client.queueRemaining(signal);
          },
        }),
      );
      await expect(failureOf(submit())).resolves.toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: true });
      expect(countOf(comfy, 'prompt_received')).toBe(2);
    });
  });

  describe('Second copies', () => {
    test('of a prompt that runs are removed when it is looked for again', async () => {
      const comfy = await simulator({ secondsPerStep: 0.2 });
      const client = clientAt(comfy.url);
      const { submit, input } = submitter(backendAt(comfy.url), { steps: 1_000 });
      await submit();
      await until('it runs', async () => (await client.promptState(input.promptId)).status === 'running');
      await postAgain(client, input);
      expect(await client.queueRemaining()).toBe(2);
      await expect(submit(2)).resolves.toMatchObject({ state: 'running' });
      expect(await client.queueRemaining()).toBe(1);
      expect((await client.promptState(input.promptId)).status).toBe('running');
    });

    test('that a late POST puts beside a repetition are removed right after it', async () => {
      const comfy = await simulator({ secondsPerStep: 0.2 });
      const client = clientAt(comfy.url);
      await queued(comfy.url, buildGraph({ steps: 1_000 }));
      const { submit, input } = submitter(
        knownBackend({
          ...client,
          submit: async (prompt) => {
            await client.submit(prompt);
            await client.submit(prompt); // of the attempt before, which arrives only now
          },
        }),
      );
      await expect(submit(2)).resolves.toMatchObject({ state: 'pending' });
      expect(await client.queueRemaining()).toBe(2);
      expect((await client.promptState(input.promptId)).status).toBe('pending');
    });
  });
});
