import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { apiConfigFrom } from '../../api/api-config.js';
import { CARD, accept, call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let restricted: string;
let templates: string;
let trusted: string;

beforeAll(async () => {
  setting = await createTestSetting();
  restricted = await setting.startApi();
  templates = await setting.startApi({ GRAPH_MODE: 'templates' });
  trusted = await setting.startApi({ GRAPH_MODE: 'graph-trusted' });
}, 60_000);
afterAll(async () => setting.release());

const SAVE = { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'a' } };
const GRAPH = {
  '1': { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 1 } },
  '2': SAVE,
};
const PHOTO = {
  '1': { class_type: 'LoadImage', inputs: { image: 'example.png' }, _meta: { title: 'Photo' } },
  '2': SAVE,
};
const HOSTILE = { ...PHOTO, 'a/b': { class_type: 'CheckpointSave', inputs: { filename_prefix: '../x' } } };

const nodes = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [String(index), { class_type: 'A', inputs: {} }]));

describe('graph-restricted, the default', () => {
  test('takes graphs, and says at once everything that is wrong with one', async () => {
    await accept(restricted, { graph: GRAPH });
    const { status, json } = await post(`${restricted}/v1/generations`, { graph: HOSTILE });
    expect({ status, code: json['code'] }).toEqual({ status: 422, code: 'graph_refused' });
    expect(json['detail']).toMatch(/^Node a\/b \(CheckpointSave\): this class writes model files.*; and 1 more/);
    expect(json['errors']).toEqual([
      { pointer: '/graph/a~1b/class_type', nodeId: 'a/b', message: expect.stringContaining('CheckpointSave') },
      {
        pointer: '/graph/1/inputs/image',
        nodeId: '1',
        message: expect.stringMatching(/^node 1 "Photo" \(LoadImage\), image = "example.png": .*POST \/v1\/uploads/),
      },
    ]);
  });

  test.each([
    [499, 202],
    [500, 202],
    [501, 422],
  ])('a graph of %i nodes is answered with %i', async (count, status) => {
    expect((await post(`${restricted}/v1/generations`, { graph: nodes(count) })).status).toBe(status);
  });

  test('judges jobs of the older interface, too', async () => {
    const { status, json } = await post(`${restricted}/api/error-recovery/jobs/submit`, { workflow_data: HOSTILE });
    expect({ status, code: json['code'] }).toEqual({ status: 422, code: 'graph_refused' });
  });

  test('the operators can deny and allow classes', async () => {
    const api = await setting.startApi({
      DENIED_NODE_CLASSES: 'Empty*',
      ALLOWED_NODE_CLASSES: 'LoadImage, CheckpointSave',
    });
    expect((await post(`${api}/v1/generations`, { graph: GRAPH })).json['code']).toBe('graph_refused');
    const id = await accept(api, { graph: HOSTILE });
    expect(await rulesOf(id)).toEqual({ allowedClasses: ['LoadImage', 'CheckpointSave'] });
  });

  test('a template is not judged at submission, a graph is', async () => {
    expect(await rulesOf(await accept(restricted))).toBeUndefined();
    expect(await rulesOf(await accept(restricted, { graph: GRAPH }))).toEqual({ allowedClasses: [] });
  });
});

describe('templates', () => {
  test.each(['/v1/generations', '/api/error-recovery/jobs/submit'])('takes no graph at %s', async (path) => {
    const body = path.startsWith('/v1') ? { graph: GRAPH } : { workflow_data: GRAPH };
    const { status, json } = await post(`${templates}${path}`, body);
    expect({ status, code: json['code'] }).toEqual({ status: 403, code: 'graphs_disabled' });
    expect(json['remedy']).toMatch(/Use a template/);
  });

  test('takes templates', async () => {
    await accept(templates, CARD);
  });

  test('retries no graph that was accepted in another mode, and those of templates', async () => {
    const graph = await failed(await accept(restricted, { graph: GRAPH }));
    const card = await failed(await accept(restricted, CARD));
    const retry = async (id: string) => call(`${templates}/v1/generations/${id}/retry`, { method: 'POST' });
    expect((await retry(graph)).json['code']).toBe('graphs_disabled');
    expect((await retry(card)).status).toBe(202);
    expect((await post(`${templates}/api/error-recovery/jobs/${graph}/retry`, {})).json['code']).toBe(
      'graphs_disabled',
    );
    await failed(await accept(restricted, CARD));
    const many = await post(`${templates}/api/error-recovery/jobs/retry-failed`, { max_jobs: 5 });
    expect(many.json).toMatchObject({ count: 1 });
  });
});

describe('graph-trusted', () => {
  test('takes any node and any value, but no circle', async () => {
    expect(await rulesOf(await accept(trusted, { graph: HOSTILE }))).toBeUndefined();
    const circle = { '1': { class_type: 'A', inputs: { x: ['1', 0] } } };
    const { json } = await post(`${trusted}/v1/generations`, { graph: circle });
    expect(json).toMatchObject({
      code: 'graph_refused',
      detail: 'The graph is linked in a circle through nodes 1 (A).',
    });
  });

  test('what was accepted by it is judged when it is retried in the default mode', async () => {
    const id = await failed(await accept(trusted, { graph: PHOTO }));
    const { json } = await call(`${restricted}/v1/generations/${id}/retry`, { method: 'POST' });
    expect(json['code']).toBe('graph_refused');
    const many = await post(`${restricted}/api/error-recovery/jobs/retry-failed`, { max_jobs: 5 });
    expect(many.status).toBe(202);
  });

  const env = {
    DATABASE_URL: 'postgres://x',
    GRAPH_MODE: 'graph-trusted',
    S3_ENDPOINT: 'http://127.0.0.1:1',
    S3_ACCESS_KEY_ID: 'a',
    S3_SECRET_ACCESS_KEY: 'b',
  };

  test.each(['0.0.0.0', '192.168.1.5', '::', 'gpu.example'])('does not start on %s unless it is understood', (HOST) => {
    expect(() => apiConfigFrom({ ...env, HOST })).toThrow(/any code on its host.*I_UNDERSTAND_GRAPH_TRUSTED=yes/);
    expect(() => apiConfigFrom({ ...env, HOST, I_UNDERSTAND_GRAPH_TRUSTED: 'true' })).toThrow(/I_UNDERSTAND/);
    expect(apiConfigFrom({ ...env, HOST, I_UNDERSTAND_GRAPH_TRUSTED: 'yes' }).graphPolicy.mode).toBe('graph-trusted');
    expect(apiConfigFrom({ ...env, HOST, GRAPH_MODE: '' }).graphPolicy.mode).toBe('graph-restricted');
  });

  test.each(['127.0.0.1', '127.1.2.3', 'localhost', '::1'])('starts on %s', (HOST) => {
    expect(apiConfigFrom({ ...env, HOST }).graphPolicy.mode).toBe('graph-trusted');
  });

  test('a mode that does not exist is refused with those that do', () => {
    expect(() => apiConfigFrom({ ...env, GRAPH_MODE: 'open' })).toThrow(
      /"open".*templates, graph-restricted, graph-trusted/,
    );
  });
});

async function rulesOf(id: string) {
  const { workflow_input: input } = await setting.database
    .selectFrom('generations')
    .select('workflow_input')
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  return input.graphRules;
}

async function failed(id: string): Promise<string> {
  await setting.database
    .updateTable('generations')
    .set({
      status: 'FAILED',
      finished_at: new Date(),
      failure_kind: 'NETWORK_ERROR',
      failure: '{"detail":"a","facts":{}}',
    })
    .where('id', '=', id)
    .execute();
  return id;
}
