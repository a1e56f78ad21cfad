import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { call, EventSession } from './comfyui-client.js';
import { normalise } from './normalise.js';

/** What a real ComfyUI 0.8.0 in CPU mode answered; the tests run in the order in which that server was asked. */
const FOLDER = join(projectRoot, 'test', 'recorded', 'comfyui');

interface Recording {
  readonly request?: { readonly prompt: Record<string, { class_type: string }>; readonly client_id: string };
  readonly submit?: { readonly status: number; readonly body: { readonly prompt_id?: string } };
  readonly ws?: readonly { readonly t: number; readonly type: string; readonly data: unknown }[];
  readonly history?: unknown;
  readonly job?: unknown;
  readonly action?: unknown;
  readonly status?: number;
  readonly body?: unknown;
}

/** Compared by shape only, and why. */
const BY_SHAPE: Readonly<Record<string, string>> = {
  view_ok: 'The bytes of a picture: ours is another picture, so only status and the presence of a body can agree',
  jobs_busy: 'That server had 847 older jobs: `total` differs, and the recording keeps the newest three only',
  object_info_full: 'LoadImage, LoadImageMask and LoadLatent list the files of that machine: those lists are left out',
};

const compared = new Set<string>();
let simulator: SimulatorProcess;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.001, extraArgs: ['--catalogue', 'recorded'] });
});
afterAll(async () => {
  await simulator.stop();
});

describe('a server that has just started', () => {
  test.each([
    ['prompt_get', '/prompt'],
    ['queue', '/queue'],
    ['features', '/features'],
    ['history_unknown', '/history/nope'],
    ['job_unknown', '/api/jobs/nope'],
    ['object_info_unknown', '/object_info/Nope'],
    ['object_info_KSampler', '/object_info/KSampler'],
    ['object_info_CheckpointLoaderSimple', '/object_info/CheckpointLoaderSimple'],
    ['models', '/models'],
    ['models_checkpoints', '/models/checkpoints'],
  ])('answers as recorded in %s', async (name, path) => {
    const { status, body } = recorded(name);
    for (const url of urlsOf(path)) {
      const answer = await call(url);
      expect({ status: answer.status, body: answer.body }).toEqual({ status, body });
    }
  });

  test('describes every recorded class as recorded in object_info_full', async () => {
    const answer = await call(`${simulator.url}/object_info`);
    expect(withoutFileLists(answer.body)).toEqual(withoutFileLists(recorded('object_info_full')));
  });

  test('describes its machine as recorded in system_stats', async () => {
    const answer = await call(`${simulator.url}/system_stats`);
    const { body, status } = recorded('system_stats');
    const text = (value: unknown) => JSON.stringify(stable(value)).replace(/"--port","\d+"/, '"--port","<port>"');
    expect(answer.status).toBe(status);
    expect(text(answer.body)).toBe(text(body));
  });

  test('keeps an uploaded file under its name as recorded in upload_image', async () => {
    const form = new FormData();
    form.set('image', new Blob(['no picture at all']), 'broken.png');
    const { status, body } = recorded('upload_image');
    const answer = await call(`${simulator.url}/upload/image`, form);
    expect({ status: answer.status, body: answer.body }).toEqual({ status, body });
  });
});

describe('prompts one after the other', () => {
  test.each([
    'success_no_model',
    'success_repeat_identical',
    'client_prompt_id',
    'client_prompt_id_again',
    'txt2img_success',
    'txt2img_batch2',
  ])('answer, announce and remember as recorded in %s', async (name) => {
    await expectSameRun(recorded(name));
  });

  test.each([
    'missing_input',
    'missing_model',
    'missing_node_type',
    'invalid_sampler',
    'too_small',
    'dangling_link',
    'no_outputs',
    'load_missing_image',
  ])('are rejected as recorded in %s, and nobody hears of it', async (name) => {
    const recording = recorded(name);
    const session = await EventSession.open(simulator.url, recording.request?.client_id ?? '');
    const answer = await call(`${simulator.url}/prompt`, recording.request);
    session.close();
    expect(stable({ status: answer.status, body: answer.body })).toEqual(stable(recording.submit));
    expect(session.events.slice(1)).toEqual(recording.ws);
  });

  test('are rejected without a graph as recorded in no_prompt', async () => {
    const answer = await call(`${simulator.url}/prompt`, {});
    expect({ status: answer.status, body: answer.body }).toEqual(recorded('no_prompt'));
  });

  test('end as recorded in interrupted when the first step is not over', async () => {
    const recording = recorded('interrupted');
    await call(`${simulator.url}/simulator/faults`, { kind: 'slow', factor: 500, count: 1 }); // a step of half a second
    await expectSameRun(recording, async (session) => {
      await session.untilEvent('executing', (data) => data['node'] === '3');
      const answer = await call(`${simulator.url}/interrupt`, '');
      expect({ status: answer.status, body: answer.text }).toEqual(recording.action);
      expect(answer.headers.get('content-type')).toBeNull();
    });
  });

  test('are listed as recorded in jobs', async () => {
    const answer = await call(`${simulator.url}/api/jobs?limit=3`);
    expect(stable({ status: answer.status, body: answer.body })).toEqual(stable(recorded('jobs')));
  });

  test('are remembered oldest first as recorded in history_all', async () => {
    const answer = await call(`${simulator.url}/history?max_items=2`);
    expect(stable({ status: answer.status, body: answer.body })).toEqual(stable(recorded('history_all')));
  });
});

describe('files', () => {
  test.each([
    ['view_ok', '/view?filename=e_00001_.png&subfolder=jobs'],
    ['view_missing', '/view?filename=nope.png'],
    ['view_traversal', '/view?filename=../secret.png'],
  ])('are served or refused as recorded in %s', async (name, path) => {
    const { status, body } = recorded(name);
    for (const url of urlsOf(path)) {
      const answer = await call(url);
      expect(answer.status).toBe(status);
      expect(answer.text === '').toBe(body === '<0 bytes>');
    }
  });
});

describe('a busy server', () => {
  test('tells of a failed node as recorded in execution_error', async () => {
    await expectSameRun(recorded('execution_error'));
  });

  test('shows its queue and its jobs as recorded in queue_busy and jobs_busy', async () => {
    const queueBody = recorded('queue_busy').body as Record<'queue_running' | 'queue_pending', unknown[][]>;
    const jobsBody = recorded('jobs_busy').body as { jobs: unknown[] };
    await call(`${simulator.url}/simulator/faults`, { kind: 'hang', nodeType: 'KSampler' });
    for (const [, promptId, prompt] of [...queueBody.queue_running, ...queueBody.queue_pending]) {
      expect((await call(`${simulator.url}/prompt`, { prompt, prompt_id: promptId })).status).toBe(200);
    }
    const queue = await call(`${simulator.url}/queue`);
    expect(stable(queue.body)).toEqual(stable(queueBody));
    const jobs = await call(`${simulator.url}/api/jobs`);
    const shown = jobs.body as { jobs: unknown[]; pagination: unknown };
    expect(stable(shown.jobs.slice(0, 3))).toEqual(stable(jobsBody.jobs));
    expect(shown.pagination).toEqual({ offset: 0, limit: null, total: shown.jobs.length, has_more: false });
  });
});

test('every recording is compared, and each comparison by shape has a reason', () => {
  const names = readdirSync(FOLDER).map((file) => file.replace(/\.json$/, ''));
  expect([...compared].sort()).toEqual(names.sort());
  for (const name of Object.keys(BY_SHAPE)) expect(names).toContain(name);
});

function recorded(name: string): Recording {
  compared.add(name);
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as Recording;
}

/** Both forms of a path; /api/jobs has only one. */
function urlsOf(path: string): string[] {
  return path.startsWith('/api/') ? [simulator.url + path] : [simulator.url + path, `${simulator.url}/api${path}`];
}

function stable(payload: unknown): unknown {
  return normalise(payload, join(simulator.dataDir, 'input'));
}

/** Submits a recorded graph and compares answer, events in their order, history and job. */
async function expectSameRun(
  recording: Recording,
  act: (session: EventSession) => Promise<void> = async () => undefined,
): Promise<void> {
  const session = await EventSession.open(simulator.url, recording.request?.client_id ?? '');
  const submit = await call(`${simulator.url}/prompt`, recording.request);
  expect(stable({ status: submit.status, body: submit.body })).toEqual(stable(recording.submit));
  const promptId = (submit.body as { prompt_id: string }).prompt_id;
  await act(session);
  await session.untilOver(promptId);
  session.close();
  const events = (recording.ws ?? []).map(({ type, data }) => ({ type, data }));
  expect(stable(session.events)).toEqual(stable(events));
  const history = await call(`${simulator.url}/history/${promptId}`);
  expect(stable({ status: history.status, body: history.body })).toEqual(stable(recording.history));
  const job = await call(`${simulator.url}/api/jobs/${promptId}`);
  expect(stable({ status: job.status, body: job.body })).toEqual(stable(recording.job));
}

function withoutFileLists(objectInfo: unknown): unknown {
  const classes = objectInfo as Record<string, { input: { required?: Record<string, unknown[]> } }>;
  return Object.fromEntries(
    Object.entries(classes).map(([name, info]) => {
      const input = { LoadImage: 'image', LoadImageMask: 'image', LoadLatent: 'latent' }[name];
      const spec = input === undefined ? undefined : info.input.required?.[input];
      if (input === undefined || spec === undefined) return [name, info];
      const required = { ...info.input.required, [input]: ['<files>', ...spec.slice(1)] };
      return [name, { ...info, input: { ...info.input, required } }];
    }),
  );
}
