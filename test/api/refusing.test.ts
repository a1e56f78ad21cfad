import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CARD, accept, call, createTestSetting, post } from './support/start-test-api.js';
import type { Answer, TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

const node = { class_type: 'EmptyImage', inputs: { width: 64 } };
const prompt = { template: 'sd15-text-to-image', parameters: { prompt: 'a cat' } };

interface Place {
  readonly pointer: string;
  readonly message: string;
  readonly nodeId?: string;
  readonly allowed?: unknown;
  readonly closest?: readonly string[];
}

function placesOf(answer: Answer): readonly Place[] {
  return (answer.json['errors'] ?? []) as readonly Place[];
}

function messagesOf(answer: Answer): Readonly<Record<string, string>> {
  return Object.fromEntries(placesOf(answer).map(({ pointer, message }) => [pointer, message]));
}

function expectProblem(answer: Answer, status: number, code: string): void {
  expect({ status: answer.status, code: answer.json['code'] }).toEqual({ status, code });
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.json).toMatchObject({
    type: `/docs/errors/${code}`,
    title: expect.any(String),
    status,
    detail: expect.any(String),
    instance: '/v1/generations',
    remedy: expect.any(String),
    retryable: expect.any(Boolean),
  });
  expect(answer.text).not.toMatch(/node_modules|\bat .*\.[jt]s:|ZodError|kysely/);
}

describe('every wrong request gets a problem document that names the place', () => {
  test.each<[string, unknown, string, readonly string[]]>([
    ['an array', [], 'invalid_request', []],
    ['null', 'null', 'invalid_request', []],
    ['neither template nor graph', {}, 'invalid_request', ['']],
    ['both template and graph', { ...CARD, graph: { '1': node } }, 'invalid_request', ['']],
    ['an unknown template', { template: 'sd99' }, 'unknown_template', ['/template']],
    ['a template name that is a number', { template: 5 }, 'invalid_request', ['/template']],
    ['a template name from Object.prototype', { template: 'constructor' }, 'unknown_template', ['/template']],
    ['an unknown field', { ...CARD, webhook: 'http://x' }, 'invalid_request', ['/webhook']],
    ['a misspelt field', { ...CARD, prioritty: 1 }, 'invalid_request', ['/prioritty']],
    ['a priority of 0', { ...CARD, priority: 0 }, 'invalid_request', ['/priority']],
    ['a priority of 2.5', { ...CARD, priority: 2.5 }, 'invalid_request', ['/priority']],
    ['a timeout of 1441 minutes', { ...CARD, timeoutMinutes: 1441 }, 'invalid_request', ['/timeoutMinutes']],
    ['metadata that is no text', { ...CARD, metadata: { a: 1 } }, 'invalid_request', ['/metadata/a']],
    [
      'seventeen labels',
      { ...CARD, metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, 'v'])) },
      'invalid_request',
      ['/metadata'],
    ],
    ['a missing required parameter', { template: 'sd15-text-to-image' }, 'invalid_parameters', ['/parameters/prompt']],
    ['parameters that are a list', { template: 'test-card', parameters: [] }, 'invalid_request', ['/parameters']],
    [
      'a width that is no multiple of 8',
      { ...prompt, parameters: { ...prompt.parameters, width: 513 } },
      'invalid_parameters',
      ['/parameters/width'],
    ],
    [
      'an unknown parameter',
      { ...prompt, parameters: { ...prompt.parameters, widht: 512 } },
      'invalid_parameters',
      ['/parameters/widht'],
    ],
    [
      'a sampler that does not exist',
      { ...prompt, parameters: { ...prompt.parameters, sampler: 'eulerish' } },
      'invalid_parameters',
      ['/parameters/sampler'],
    ],
    [
      'a number sent as text',
      { ...prompt, parameters: { ...prompt.parameters, steps: '20' } },
      'invalid_parameters',
      ['/parameters/steps'],
    ],
    ['a NUL character', { ...prompt, parameters: { prompt: 'a\u0000b' } }, 'invalid_request', ['/parameters/prompt']],
    ['half a surrogate pair', { ...CARD, metadata: { a: '\ud800' } }, 'invalid_request', ['/metadata/a']],
    ['an empty graph', { graph: {} }, 'invalid_graph', ['/graph']],
    ['a graph that is a list', { graph: [node] }, 'invalid_graph', ['/graph']],
    ['a node without a class', { graph: { '7': { inputs: {} } } }, 'invalid_graph', ['/graph/7/class_type']],
    ['a node without inputs', { graph: { '7': { class_type: 'A' } } }, 'invalid_graph', ['/graph/7/inputs']],
    ['a node with unknown keys', { graph: { '7': { ...node, widgets: [] } } }, 'invalid_graph', ['/graph/7/widgets']],
    [
      '501 nodes',
      { graph: Object.fromEntries(Array.from({ length: 501 }, (_, index) => [String(index), node])) },
      'invalid_graph',
      ['/graph'],
    ],
    [
      "a graph in the editor's format",
      { graph: { nodes: [], links: [], version: 1 } },
      'graph_in_ui_format',
      ['/graph'],
    ],
    [
      'a link to a node that is not there',
      { graph: { '2': { class_type: 'SaveImage', inputs: { images: ['9', 0] } } } },
      'graph_link_dangling',
      ['/graph/2/inputs/images'],
    ],
    [
      'a link to a node that only Object.prototype has',
      { graph: { '2': { class_type: 'SaveImage', inputs: { images: ['constructor', 0] } } } },
      'graph_link_dangling',
      ['/graph/2/inputs/images'],
    ],
    [
      'a seed beyond 2^53 - 1',
      '{"graph":{"3":{"class_type":"KSampler","inputs":{"seed":18446744073709551615}}}}',
      'unsafe_number',
      ['/graph/3/inputs/seed'],
    ],
    [
      'a number beyond a double',
      '{"template":"test-card","parameters":{"width":1e999}}',
      'unsafe_number',
      ['/parameters/width'],
    ],
  ])('%s', async (...[, body, code, pointers]) => {
    const answer = await post(`${api}/v1/generations`, body);
    expectProblem(answer, 422, code);
    expect(placesOf(answer).map(({ pointer }) => pointer)).toEqual(pointers);
  });
});

test('everything that is wrong is said at once', async () => {
  const answer = await post(`${api}/v1/generations`, {
    template: 'sd15-text-to-image',
    parameters: { width: 7, steps: 0, sampler: 'x', colour: 'red' },
    priority: 9,
    colour: 'red',
  });
  expectProblem(answer, 422, 'invalid_request');
  expect(new Set(placesOf(answer).map(({ pointer }) => pointer))).toEqual(
    new Set([
      '/priority',
      '/colour',
      '/parameters/prompt',
      '/parameters/width',
      '/parameters/steps',
      '/parameters/sampler',
      '/parameters/colour',
    ]),
  );
});

test('a wrong parameter comes with what would be right', async () => {
  const answer = await post(`${api}/v1/generations`, {
    template: 'sd15-text-to-image',
    parameters: { prompt: 'x', width: 63, sampler: 'eulerish', stepz: 3 },
  });
  const allowed = new Map(placesOf(answer).map((place) => [place.pointer, place.allowed]));
  expect(allowed.get('/parameters/width')).toEqual({ min: 64, max: 2048, multipleOf: 8 });
  expect(allowed.get('/parameters/sampler')).toContain('euler_ancestral');
  const stepz = placesOf(answer).find(({ pointer }) => pointer === '/parameters/stepz');
  expect(stepz?.closest?.[0]).toBe('steps');
  expect(stepz?.closest).toHaveLength(5);
  const { json } = await call(`${api}/v1/templates/sd15-text-to-image`);
  expect(stepz?.allowed).toEqual(Object.keys(json['parameters'] as object));
  expect(stepz?.allowed).toContain('prompt');
});

describe('a body in another form is told how to be sent', () => {
  const bare = { '1': node };
  const ofPrompt = { prompt: bare, client_id: 'c' };
  test.each<[string, unknown, string, string]>([
    ['nothing', {}, 'invalid_request', 'holds neither `template` nor `graph`'],
    ['parameters alone', { parameters: {} }, 'invalid_request', 'holds neither `template` nor `graph`'],
    ['both', { ...CARD, graph: bare }, 'invalid_request', 'holds both `template` and `graph`'],
    ['a bare graph', bare, 'invalid_request', 'a graph itself; send it as {"graph": {…}}'],
    ['the body of /prompt', ofPrompt, 'invalid_request', 'Send the value of `prompt` as `graph`'],
    ['the body of /prompt with a graph alone', { prompt: bare }, 'invalid_request', 'Send the value of `prompt` as'],
    ['the body of /prompt as graph', { graph: ofPrompt }, 'invalid_graph', 'Send the value of `prompt` as `graph`'],
    ["a bare graph in the editor's format", { nodes: [], links: [] }, 'graph_in_ui_format', 'API format'],
  ])('%s', async (...[, body, code, detail]) => {
    const answer = await post(`${api}/v1/generations`, body);
    expectProblem(answer, 422, code);
    expect(answer.json['detail']).toContain(detail);
  });

  test('the remedy shows a request that works', async () => {
    const { json } = await post(`${api}/v1/generations`, {});
    const example = /for example (.*)\.$/.exec(String(json['remedy']))?.[1] ?? '';
    expect((await post(`${api}/v1/generations`, example)).status).toBe(202);
  });

  test('unknown fields are named with what was meant', async () => {
    const answer = await post(`${api}/v1/generations`, { prompt: 'a cat', tmplate: 'test-card', prioritty: 1 });
    expectProblem(answer, 422, 'invalid_request');
    expect(messagesOf(answer)).toEqual({
      '': 'needs either `template` or `graph`',
      '/prompt': 'is not a field of this request; parameters of a template belong into `parameters`',
      '/tmplate': 'is not a field of this request; the closest is `template`',
      '/prioritty': 'is not a field of this request; the closest is `priority`',
    });
  });

  test('fifty thousand unknown names are answered at once and in short', async () => {
    const names = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`field${index}`, 1]));
    for (const body of [names, { ...CARD, ...names }, { ...CARD, parameters: names }]) {
      const answer = await post(`${api}/v1/generations`, body);
      expect(placesOf(answer).length).toBeLessThanOrEqual(51);
    }
  });
});

describe('messages are in words, and say when another kind of value was given', () => {
  const width = 'width must be a whole number from 64 to 2048 that is a multiple of 8';
  test.each<[unknown, string, string]>([
    [{ ...prompt.parameters, width: '512' }, '/width', `${width}; a text was given (leave out the quotes)`],
    [{ ...prompt.parameters, width: 513 }, '/width', width],
    [{ ...prompt.parameters, width: 'wide' }, '/width', `${width}; a text was given`],
    [{ ...prompt.parameters, width: null }, '/width', `${width}; null was given`],
    [{ prompt: 5 }, '/prompt', 'prompt must be a text of 1 to 4000 characters; a number was given'],
    [[], '', 'must be an object; a list was given'],
    [null, '', 'must be an object; null was given'],
  ])('parameters %j', async (parameters, pointer, message) => {
    const answer = await post(`${api}/v1/generations`, { ...prompt, parameters });
    expect(messagesOf(answer)).toEqual({ [`/parameters${pointer}`]: message });
  });

  test.each<[string, unknown, string]>([
    ['/priority', { ...CARD, priority: 9 }, 'must be a whole number from 1 to 5'],
    ['/priority', { ...CARD, priority: 0 }, 'must be a whole number from 1 to 5'],
    [
      '/priority',
      { ...CARD, priority: '3' },
      'must be a whole number from 1 to 5; a text was given (leave out the quotes)',
    ],
    ['/timeoutMinutes', { ...CARD, timeoutMinutes: 2.5 }, 'must be a whole number from 1 to 1440'],
    ['/template', { template: 5 }, 'must be a text; a number was given'],
    ['/template', { template: '' }, 'is not the name of a template'],
    ['/metadata/a', { ...CARD, metadata: { a: 'x'.repeat(513) } }, 'must have at most 512 characters'],
    ['/metadata/', { ...CARD, metadata: { '': 'x' } }, 'has a name that must not be empty'],
    ['/graph', { graph: [node] }, 'must be an object; a list was given'],
    ['/graph/7/class_type', { graph: { '7': { inputs: {} } } }, 'is required and must be a text'],
    ['/graph/7/inputs', { graph: { '7': { class_type: 'A' } } }, 'is required and must be an object'],
  ])('%s of %j', async (pointer, body, message) => {
    expect(messagesOf(await post(`${api}/v1/generations`, body))).toEqual({ [pointer]: message });
  });

  test.each([
    ['limit=x', '?limit must be a whole number from 1 to 100'],
    ['limit=0', '?limit must be a whole number from 1 to 100'],
    ['limit=101', '?limit must be a whole number from 1 to 100'],
    ['limit=1.5', '?limit must be a whole number from 1 to 100'],
    ['status=DONE', '?status must be one of QUEUED, '],
    ['status=FAILED&status=TIMEOUT', '?status must be a text; a list was given'],
    ['limt=5', '?limt is not a field of this request; the closest is `limit`'],
  ])('?%s', async (query, detail) => {
    const { json } = await call(`${api}/v1/generations?${query}`);
    expect(json['detail']).toContain(detail);
    expect(json['detail']).not.toMatch(/expected|received|Invalid/);
  });

  test('numbers that would change are counted in words', async () => {
    const detailOf = async (body: string) => (await post(`${api}/v1/generations`, body)).json['detail'];
    expect(await detailOf('{"a":1e999}')).toBe('One number of the body would not arrive as it was sent.');
    expect(await detailOf('[1e999,1e999]')).toBe('2 numbers of the body would not arrive as they were sent.');
  });
});

test('an unknown template is answered with those that exist', async () => {
  const answer = await post(`${api}/v1/generations`, { template: 'sd99' });
  expect(answer.json['detail']).toMatch(/sd15-text-to-image, .*test-card/);
});

test('the problem of a node names the node', async () => {
  const answer = await post(`${api}/v1/generations`, {
    graph: { '12': { class_type: 'A', inputs: { x: ['13', 0] } } },
  });
  expect(placesOf(answer)[0]).toMatchObject({ nodeId: '12', message: expect.stringContaining('node 13') });
});

test('a node class that no ComfyUI has is refused with the closest names, once a backend has told its classes', async () => {
  const graph = { '1': { class_type: 'EmptyImag', inputs: {} }, '2': node };
  expect((await post(`${api}/v1/generations`, { graph })).status).toBe(202);
  const capabilitiesKey = `capabilities/${'a'.repeat(64)}.json`;
  const nodeClasses = ['EmptyImage', 'EmptyLatentImage', 'SaveImage', 'KSampler', 'VAEDecode', 'CLIPTextEncode'];
  await setting.store.writeJson(capabilitiesKey, { nodeClasses }, { kind: 'always' });
  const report = {
    ...{ backendId: 'b1', pool: 'default', health: 'healthy', reason: 'ok', addresses: [], comfyuiVersion: '0.8.0' },
    ...{ device: 'gpu', deviceName: null, vramTotalBytes: null, queueRemaining: 0, maxGpuJobs: 1, capabilitiesKey },
    reportedAt: new Date().toISOString(),
  };
  await setting.store.writeJson('backends/b1.json', report, { kind: 'always' });
  const informed = await setting.startApi(); // without the cache of the first
  const answer = await post(`${informed}/v1/generations`, { graph });
  expectProblem(answer, 422, 'node_class_unknown');
  expect(placesOf(answer)).toEqual([
    expect.objectContaining({ pointer: '/graph/1/class_type', nodeId: '1', closest: expect.any(Array) }),
  ]);
  expect(placesOf(answer)[0]?.closest?.[0]).toBe('EmptyImage');
  expect(placesOf(answer)[0]?.closest).toHaveLength(5);
  expect(placesOf(answer)[0]?.allowed).toBeUndefined(); // that would be the complete list
  expect(answer.json['detail']).toMatch(/"EmptyImag"; the 5 closest are EmptyImage, /);
});

describe('a body that is no JSON', () => {
  test.each(['', ' \n'])('%j is empty', async (body) => {
    const answer = await post(`${api}/v1/generations`, body);
    expectProblem(answer, 400, 'invalid_json');
    expect(answer.json['detail']).toBe('The body is empty.');
  });

  test.each([
    ['{', 1],
    ['{"template": tru}', 13],
    ['{"a": 1,}', 8],
    ['[1, 2', 5],
    ['{"a": 1} x', 9],
    ['{"a": 01}', 7],
    ["{'a': 1}", 1],
    ['"a\nb"', 0],
    ['{"a" 1}', 5],
    ['[1 2]', 3],
    ['}', 0],
  ])('%j is refused at position %i', async (body, position) => {
    const answer = await post(`${api}/v1/generations`, body);
    expectProblem(answer, 400, 'invalid_json');
    expect(answer.json['detail']).toContain(`at position ${position} `);
  });

  test('bytes that are not UTF-8 are refused', async () => {
    const answer = await call(`${api}/v1/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from([0x22, 0xff, 0x22]),
    });
    expectProblem(answer, 400, 'invalid_json');
  });

  test('a million brackets are refused and harm nobody', async () => {
    const answer = await post(`${api}/v1/generations`, '['.repeat(1_000_000));
    expectProblem(answer, 400, 'invalid_json');
    const deep = await post(`${api}/v1/generations`, `${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expectProblem(deep, 422, 'invalid_request');
    expect((await call(`${api}/livez`)).status).toBe(200);
  });
});

test('a body beyond 1 MiB is refused, one just below it is read', async () => {
  const sized = (bytes: number) => {
    const empty = JSON.stringify({ ...CARD, metadata: { a: '' } }).length;
    return JSON.stringify({ ...CARD, metadata: { a: 'x'.repeat(bytes - empty) } });
  };
  expectProblem(await post(`${api}/v1/generations`, sized(1024 * 1024 + 1)), 413, 'body_too_large');
  expectProblem(await post(`${api}/v1/generations`, sized(1024 * 1024)), 422, 'invalid_request');
});

test.each([
  ['text/plain', undefined],
  ['application/x-www-form-urlencoded', undefined],
  ['application/json; charset=latin1', undefined],
  [undefined, undefined],
  ['application/json', 'gzip'],
])('a body of type %s and encoding %s is refused', async (type, encoding) => {
  const answer = await call(`${api}/v1/generations`, {
    method: 'POST',
    headers: {
      ...(type !== undefined && { 'content-type': type }),
      ...(encoding !== undefined && { 'content-encoding': encoding }),
    },
    body: JSON.stringify(CARD),
  });
  expectProblem(answer, 415, 'unsupported_media_type');
});

test('an address that is too long is refused', async () => {
  const answer = await call(`${api}/v1/generations?template=${'x'.repeat(5_000)}`);
  expectProblem(answer, 414, 'uri_too_long');
});

test('an unknown path, an unknown method and an unreadable path are told apart', async () => {
  const lost = await call(`${api}/v2/nothing`);
  expect([lost.status, lost.json['code']]).toEqual([404, 'route_not_found']);
  const wrong = await call(`${api}/v1/generations`, { method: 'DELETE' });
  expectProblem(wrong, 405, 'method_not_allowed');
  expect(wrong.headers['allow']).toBe('GET, HEAD, POST, OPTIONS');
  const deleted = await call(`${api}/v1/generations/gen_${'0'.repeat(32)}`, { method: 'DELETE' });
  expect([deleted.status, deleted.headers['allow']]).toEqual([405, 'GET, HEAD, OPTIONS']);
  expect(deleted.json['detail']).toContain('POST /v1/generations/{id}/cancel');
  const unreadable = await call(`${api}/v1/templates/%ff`);
  expect([unreadable.status, unreadable.json['code']]).toEqual([404, 'route_not_found']);
  const options = await call(`${api}/v1/generations`, { method: 'OPTIONS' });
  expect([options.status, options.headers['allow']]).toEqual([204, 'GET, HEAD, POST, OPTIONS']);
});

test.each(['gen_0', 'x', `gen_${'0'.repeat(32)}`, `gen_${'g'.repeat(32)}`, '..%2f..', "'%3B--"])(
  'the id %s names no generation',
  async (id) => {
    for (const path of [id, `${id}/events`, `${id}/outputs/0`]) {
      const answer = await call(`${api}/v1/generations/${path}`);
      expect(answer.status).toBe(404);
      expect(answer.json['code']).toMatch(/^(generation|output)_not_found$/);
    }
    expect((await call(`${api}/v1/generations/${id}/cancel`, { method: 'POST' })).status).toBe(404);
  },
);

test('an unexpected error says nothing about the inside', async () => {
  const broken = await createTestSetting();
  try {
    const url = await broken.startApi();
    const id = await accept(url);
    await broken.database.schema.alterTable('recovery_attempts').renameTo('hidden').execute();
    const answer = await call(`${url}/v1/generations/${id}`);
    expect(answer.status).toBe(500);
    expect(answer.json).toMatchObject({
      code: 'internal_error',
      detail: 'The request could not be completed. It has been logged.',
    });
    expect(answer.text).not.toMatch(/recovery_attempts|relation|42P01|select/i);
  } finally {
    await broken.release();
  }
});

describe('web pages cannot drive a service on loopback', () => {
  test.each(['evil.example', 'evil.example:8328', '127.0.0.1.nip.io', 'localhost.evil.example', '192.168.0.5', ''])(
    'the host %j is not answered',
    async (host) => {
      expect(await rawStatus(`GET /v1/generations HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).toBe(421);
    },
  );

  test.each(['localhost', 'LOCALHOST:8328', '127.0.0.1', '[::1]:8328', 'localhost.'])(
    'the host %j is answered',
    async (host) => {
      expect(await rawStatus(`GET /livez HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).toBe(200);
    },
  );

  test('a name in ALLOWED_HOSTS is answered', async () => {
    const named = await setting.startApi({ ALLOWED_HOSTS: 'gpu.example, other.example' });
    const status = async (host: string) => (await call(`${named}/livez`, { headers: { host } })).status;
    expect(await status('gpu.example:8328')).toBe(200);
    expect(await status('evil.example')).toBe(421);
  });

  test('a cross-site request may look but not touch', async () => {
    const crossSite = { 'sec-fetch-site': 'cross-site' };
    const refused = await post(`${api}/v1/generations`, CARD, crossSite);
    expectProblem(refused, 403, 'cross_site_refused');
    expect((await post(`${api}/v1/generations`, CARD, { origin: 'https://evil.example' })).status).toBe(403);
    expect((await post(`${api}/v1/generations`, CARD, { origin: 'null' })).status).toBe(403);
    expect((await post(`${api}/v1/generations`, CARD, { 'sec-fetch-site': 'same-origin' })).status).toBe(202);
    expect((await post(`${api}/v1/generations`, CARD, { origin: api })).status).toBe(202);
    const looked = await call(`${api}/v1/generations`, { headers: crossSite });
    expect(looked.status).toBe(200);
    expect(looked.headers['access-control-allow-origin']).toBeUndefined();
  });
});

test('every answer carries the headers that keep a browser safe', async () => {
  for (const path of ['/', '/v1/generations', '/nothing']) {
    const { headers } = await call(`${api}${path}`);
    expect(headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(headers['x-powered-by']).toBeUndefined();
  }
});

async function rawStatus(head: string): Promise<number> {
  const { hostname, port } = new URL(api);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(Number(port), hostname, () => socket.end(head));
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', reject);
    socket.on('close', () => {
      resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]));
    });
  });
}
