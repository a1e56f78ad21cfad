import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SIMULATED_VERSIONS, startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { call } from './comfyui-client.js';
import { emptyImage, node, textToImage } from './graphs.js';

/** What `--version` changes. 0.8.0 is compared with recordings in the contract test; the others follow ComfyUI's source. */
const byVersion = new Map<string, SimulatorProcess>();

beforeAll(async () => {
  await Promise.all(
    SIMULATED_VERSIONS.map(async (version) => {
      byVersion.set(version, await startSimulator({ version, secondsPerStep: 0.05 }));
    }),
  );
});
afterAll(async () => {
  await Promise.all([...byVersion.values()].map(async (simulator) => simulator.stop()));
});

function on(version: string): SimulatorProcess {
  const simulator = byVersion.get(version);
  if (simulator === undefined) throw new Error(`No simulator of ${version}`);
  return simulator;
}

const get = async (version: string, path: string) => call(on(version).url + path);
const post = async (version: string, path: string, body: unknown) => call(on(version).url + path, body);

async function queued(version: string, prompt: object, more: object = {}): Promise<string> {
  const { status, body } = await post(version, '/prompt', { prompt, client_id: 'c', ...more });
  expect(status).toBe(200);
  return (body as { prompt_id: string }).prompt_id;
}

interface Entry {
  readonly prompt: readonly [number, string, object, Record<string, unknown>];
  readonly outputs: Record<string, unknown>;
}

async function finished(version: string, promptId: string): Promise<Entry> {
  return until('it is in the history', async () => {
    const { body } = await get(version, `/history/${promptId}`);
    return (body as Record<string, Entry>)[promptId];
  });
}

async function untilRunning(version: string, promptId: string): Promise<void> {
  await until('it runs', async () => {
    const { body } = await get(version, '/queue');
    return (body as { queue_running: unknown[][] }).queue_running.some((item) => item[1] === promptId);
  });
}

const all: readonly string[] = ['0.3.57', '0.8.0', '0.38.1'];
const each = (...values: readonly unknown[]) => all.map((version, index) => [version, values[index]] as const);

test('the versions are an old one, the recorded one and a recent one', () => {
  expect(SIMULATED_VERSIONS).toEqual(all);
});

describe('what a server says of itself', () => {
  test.each(all)('names its version: %s', async (version) => {
    expect((await get(version, '/system_stats')).body).toMatchObject({ system: { comfyui_version: version } });
  });

  test.each(
    each(
      ['max_upload_size', 'supports_preview_metadata'],
      ['extension', 'max_upload_size', 'supports_preview_metadata'],
      ['assets', 'extension', 'max_upload_size', 'node_replacements', 'supports_model_type_tags', 'supports_preview_metadata'], // prettier-ignore
    ),
  )('%s has these features', async (version, features) => {
    expect(Object.keys((await get(version, '/features')).body as object).sort()).toEqual(features);
  });

  test.each(each(false, false, true))('%s tells search aliases of classes: %s', async (version, isTold) => {
    const { body } = await get(version, '/object_info/KSampler');
    expect('search_aliases' in ((body as Record<string, object>)['KSampler'] ?? {})).toBe(isTold);
  });
});

describe('what is kept of a prompt', () => {
  test.each(each(true, false, false))('%s shows comfy.org tokens to everybody: %s', async (version, isShown) => {
    const promptId = await queued(version, emptyImage(), { extra_data: { api_key_comfy_org: 'secret' } });
    const entry = await finished(version, promptId);
    expect(entry.prompt[3]['api_key_comfy_org']).toBe(isShown ? 'secret' : undefined);
  });

  test.each(each(false, true, true))('%s notes when a prompt was created: %s', async (version, isNoted) => {
    const entry = await finished(version, await queued(version, emptyImage()));
    expect('create_time' in entry.prompt[3]).toBe(isNoted);
  });

  test.each(each(0, 0, 1))('%s tells this many cached outputs without a client: %i', async (version, count) => {
    const graph = emptyImage({ prefix: 'cached' });
    await finished(version, await queued(version, graph));
    const { body } = await post(version, '/prompt', { prompt: graph });
    const entry = await finished(version, (body as { prompt_id: string }).prompt_id);
    expect(Object.keys(entry.outputs)).toHaveLength(Number(count));
  });

  test.each(each(false, false, true))('%s remembers the nodes of older prompts: %s', async (version, isKept) => {
    const graph = emptyImage({ widthPx: 19, prefix: 'older' });
    await finished(version, await queued(version, graph));
    await finished(version, await queued(version, emptyImage({ widthPx: 23 })));
    const promptId = await queued(version, graph);
    await finished(version, promptId);
    expect(on(version).journal().some((entry) => entry.event === 'node_cached' && entry.promptId === promptId)).toBe(isKept); // prettier-ignore
  });

  test.each(each(false, false, true))('%s gives files the ids of assets: %s', async (version, isGiven) => {
    const entry = await finished(version, await queued(version, emptyImage({ prefix: 'asset' })));
    const { images } = entry.outputs['2'] as { images: readonly Record<string, unknown>[] };
    expect(images[0]?.['filename']).toMatch(/^asset_/);
    expect('id' in (images[0] ?? {})).toBe(isGiven);
  });
});

describe('what is refused', () => {
  test.each(each(200, 200, 400))('%s answers ids that are no UUIDs with %i', async (version, status) => {
    for (const id of ['job-42', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 7, '']) {
      const answer = await post(version, '/prompt', { prompt: emptyImage(), prompt_id: id });
      expect(answer.status).toBe(status);
      if (status === 400) {
        expect(answer.body).toMatchObject({ error: { type: 'invalid_prompt_id' }, node_errors: {} });
      }
    }
  });

  test.each(each(/^None$/, /^None$/, /^[0-9a-f-]{36}$/))('%s makes of the id null %s', async (version, id) => {
    const { body } = await post(version, '/prompt', { prompt: emptyImage(), prompt_id: null });
    expect((body as { prompt_id: string }).prompt_id).toMatch(id as RegExp);
  });

  test.each(
    each(
      { type: 'invalid_prompt', message: 'Cannot execute because node Nope does not exist.', extra_info: {} },
      { type: 'invalid_prompt', message: 'Cannot execute because node Nope does not exist.', extra_info: {} },
      {
        type: 'missing_node_type',
        message: "Node 'My node' not found. The custom node may not be installed.",
        extra_info: { node_id: '1', class_type: 'Nope', node_title: 'My node' },
      },
    ),
  )('%s says of a class that is not installed %j', async (version, error) => {
    const prompt = { '1': { ...node('Nope', {}), _meta: { title: 'My node' } } };
    const { status, body } = await post(version, '/prompt', { prompt });
    expect(status).toBe(400);
    expect(body).toEqual({ error: { ...(error as object), details: "Node ID '#1'" }, node_errors: {} });
  });

  test.each(each('a node is missing the class_type', 'a node is missing the class_type', "Node 'ID #1' has no class"))(
    '%s says of a node without a class: %s',
    async (version, message) => {
      const { body } = await post(version, '/prompt', { prompt: { '1': { inputs: {} } } });
      expect(body).toMatchObject({ error: { message: expect.stringContaining(String(message)) } });
    },
  );

  test.each(each([], [], ['1', '3']))('%s names these nodes of a cycle: %j', async (version, blamed) => {
    const prompt = {
      '1': node('ImageInvert', { image: ['3', 0] }),
      '3': node('ImageInvert', { image: ['1', 0] }),
      '2': node('SaveImage', { filename_prefix: 'x', images: ['1', 0] }),
    };
    const { status, body } = await post(version, '/prompt', { prompt });
    const { error, node_errors: nodeErrors } = body as {
      error: { type: string; details: string };
      node_errors: Record<string, { errors: { type: string; details: string }[]; dependent_outputs: string[] }>;
    };
    expect([status, error.type, error.details]).toEqual([400, 'prompt_outputs_failed_validation', '']);
    expect(Object.keys(nodeErrors).sort()).toEqual(blamed);
    for (const { errors, dependent_outputs: outputs } of Object.values(nodeErrors)) {
      expect(outputs).toEqual(['2']);
      expect(errors).toMatchObject([
        { type: 'dependency_cycle', details: '1 (ImageInvert) -> 3 (ImageInvert) -> 1 (ImageInvert)' },
      ]);
    }
  });
});

describe('the jobs of a server', () => {
  test('are unknown to 0.3.57: 404 without a body, where the others say that there is no such job', async () => {
    const { status, text } = await get('0.3.57', '/api/jobs/nope');
    expect([status, text]).toEqual([404, '']);
    expect((await get('0.3.57', '/api/jobs')).status).toBe(404);
    for (const version of ['0.8.0', '0.38.1']) {
      const answer = await get(version, '/api/jobs/nope');
      expect([answer.status, answer.body]).toEqual([404, { error: 'Job not found' }]);
    }
  });

  test.each([
    ['0.8.0', 'failed', undefined],
    ['0.38.1', 'cancelled', 0],
  ])('of %s are %s when they are interrupted', async (version, status, previewable) => {
    const promptId = await queued(version, textToImage({ steps: 2_000 }));
    await untilRunning(version, promptId);
    const running = (await get(version, `/api/jobs/${promptId}`)).body as Record<string, unknown>;
    expect('workflow' in running).toBe(version === '0.38.1');
    await until('it is interrupted', async () => {
      await post(version, '/interrupt', { prompt_id: promptId });
      return ((await get(version, `/api/jobs/${promptId}`)).body as { status: string }).status === status;
    });
    const { body } = await get(version, `/api/jobs/${promptId}`);
    expect(body).not.toHaveProperty('execution_error');
    expect((body as Record<string, unknown>)['previewable_outputs_count']).toBe(previewable);
    const listed = (await get(version, '/api/jobs?status=cancelled')).status;
    expect(listed).toBe(version === '0.38.1' ? 200 : 400);
  });

  test('of 0.38.1 count the outputs that can be shown apart from the others', async () => {
    const graph = { ...textToImage(), '10': node('SaveLatent', { samples: ['3', 0], filename_prefix: 'l' }) };
    const promptId = await queued('0.38.1', graph);
    await finished('0.38.1', promptId);
    const { body } = await get('0.38.1', `/api/jobs/${promptId}`);
    expect(body).toMatchObject({ outputs_count: 2, previewable_outputs_count: 1 });
  });
});

describe('a cancelled job', () => {
  const unknown = '0f0f0f0f-0000-5000-8000-000000000001';

  test.each(['0.3.57', '0.8.0'])('does not exist on %s: the route is no route', async (version) => {
    for (const path of [`/api/jobs/${unknown}/cancel`, '/api/jobs/cancel']) {
      const { status, text } = await post(version, path, {});
      expect([status, text]).toEqual([405, '405: Method Not Allowed']);
    }
  });

  test('is interrupted when it runs and removed when it waits, and nobody else is hit', async () => {
    const running = await queued('0.38.1', textToImage({ steps: 2_000, seed: 3 }));
    const waiting = await queued('0.38.1', emptyImage());
    await untilRunning('0.38.1', running);
    const cancel = async (id: string) => (await post('0.38.1', `/api/jobs/${id}/cancel`, '')).body;
    expect(await cancel(waiting)).toEqual({ cancelled: true });
    expect((await get('0.38.1', `/api/jobs/${waiting}`)).status).toBe(404);
    expect((await get('0.38.1', `/api/jobs/${running}`)).body).toMatchObject({ status: 'in_progress' });
    expect(await cancel(running)).toEqual({ cancelled: true });
    await finished('0.38.1', running);
    expect((await get('0.38.1', `/api/jobs/${running}`)).body).toMatchObject({ status: 'cancelled' });
    for (const id of [running, waiting, unknown]) expect(await cancel(id)).toEqual({ cancelled: false });
  });

  test('can be one of many, and nothing is cancelled when one id is malformed', async () => {
    const running = await queued('0.38.1', textToImage({ steps: 2_000, seed: 4 }));
    await untilRunning('0.38.1', running);
    const cancelAll = async (body: unknown) => {
      const answer = await post('0.38.1', '/api/jobs/cancel', body);
      return [answer.status, answer.body];
    };
    const malformed = { job_ids: [running, 'nope', 7] };
    const error = 'job_ids contains invalid id(s)';
    expect(await cancelAll(malformed)).toEqual([400, { error, invalid_ids: ['nope', '7'] }]);
    expect(await cancelAll({})).toEqual([400, { error: 'job_ids must be a list' }]);
    expect(await cancelAll('{')).toEqual([400, { error: 'Request body must be valid JSON' }]);
    expect((await get('0.38.1', `/api/jobs/${running}`)).body).toMatchObject({ status: 'in_progress' });
    expect(await cancelAll({ job_ids: [unknown, running] })).toEqual([200, { cancelled: true }]);
    await finished('0.38.1', running);
    expect(await cancelAll({ job_ids: [running] })).toEqual([200, { cancelled: false }]);
  });
});
