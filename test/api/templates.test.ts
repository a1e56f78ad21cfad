import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import sharp from 'sharp';
import { parseGenerationRequest } from '../../api/generations/parse-generation-request.js';
import { ProblemError } from '../../api/problem-error.js';
import { checkParameters } from '../../api/templates/check-parameters.js';
import type { ResolveInputs } from '../../api/uploads/resolve-inputs.js';
import { loadTemplates } from '../../api/templates/load-templates.js';
import { isFileParameter } from '../../api/templates/template-manifest.js';
import type { ParameterSpec } from '../../api/templates/template-manifest.js';
import type { Template, Templates } from '../../api/templates/template.js';
import { sampleInputsFor } from '../../cli/templates/sample-inputs.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { FFMPEG_PATH } from '../support/ffmpeg.js';
import { call, createTestSetting, post } from './support/start-test-api.js';
import type { Json, TestSetting } from './support/start-test-api.js';

const folder = join(projectRoot, 'comfy-workflows');
const templates: Templates = await loadTemplates(folder);
const UPLOAD_ID = `upl_${'1'.repeat(32)}`;
const SHA256 = 'a'.repeat(64);

/** Every upload is the same picture. */
const resolveInputs: ResolveInputs = async (wanted) =>
  new Map(
    wanted.map(({ pointer, reference, kind }) => [
      pointer,
      {
        ...{ uploadId: reference, sha256: SHA256, objectKey: `inputs/${SHA256}.png`, bytes: 1_000 },
        ...{
          kind: kind ?? 'image',
          mediaType: 'image/png',
          widthPx: 64,
          heightPx: 64,
          durationSeconds: 1,
          hasSound: true,
        },
      },
    ]),
  );
const world = { templates, resolveInputs, provider: 'comfyui' } as const;

/** Uploads in place of the addresses of an example, which nobody reaches from here. */
async function uploaded(api: string, name: string): Promise<Json> {
  const template = templates.get(name);
  const samples = template === undefined ? [] : [...(await sampleInputsFor(template))];
  const entries = samples.map(async ([parameter, { bytes, filename }]) => {
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(bytes)]), filename);
    const response = await fetch(`${api}/v1/uploads`, { method: 'POST', body: form });
    return [parameter, ((await response.json()) as Json)['id']] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

describe('over HTTP', () => {
  let setting: TestSetting;
  let api: string;
  beforeAll(async () => {
    setting = await createTestSetting();
    api = await setting.startApi({ FFMPEG_PATH });
  }, 60_000);
  afterAll(async () => setting.release());

  test('templates are listed with types, ranges, defaults and a request that works', async () => {
    const { json } = await call(`${api}/v1/templates`);
    const listed = json['templates'] as readonly Json[];
    expect(listed.map(({ name }) => name)).toEqual([...templates.keys()]);
    const sd15 = listed.find(({ name }) => name === 'sd15-text-to-image');
    expect(sd15?.['parameters']).toMatchObject({
      prompt: { type: 'string', required: true, maxLength: 4000 },
      width: { type: 'integer', required: false, min: 64, max: 2048, multipleOf: 8, default: 512 },
      sampler: { type: 'enum', values: expect.arrayContaining(['euler_ancestral']), default: 'euler_ancestral' },
      seed: { type: 'integer', random: true },
    });
    expect(JSON.stringify(listed)).not.toContain('bindings');
    for (const { name, example, url } of listed) {
      const { body } = example as { body: { parameters: Json } };
      const parameters = { ...body.parameters, ...(await uploaded(api, String(name))) };
      const { status, json: answer } = await post(`${api}/v1/generations`, { ...body, parameters });
      expect([name, status, answer['detail']]).toEqual([name, 202, undefined]);
      expect((await call(`${api}${String(url)}`)).status).toBe(200);
    }
  });

  test('each has a thumbnail below 30 KB, served with its type and an ETag', async () => {
    const { json } = await call(`${api}/v1/templates`);
    for (const { name, thumbnailUrl } of json['templates'] as readonly Json[]) {
      expect(thumbnailUrl).toBe(`/v1/templates/${String(name)}/thumbnail`);
      const answer = await fetch(`${api}${String(thumbnailUrl)}`);
      expect([answer.status, answer.headers.get('x-content-type-options')]).toEqual([200, 'nosniff']);
      const bytes = Buffer.from(await answer.arrayBuffer());
      expect(bytes.length).toBeLessThan(30_000);
      expect(`image/${String((await sharp(bytes).metadata()).format)}`).toBe(answer.headers.get('content-type'));
      const again = await fetch(`${api}${String(thumbnailUrl)}`, {
        headers: { 'If-None-Match': answer.headers.get('etag') ?? '' },
      });
      expect(again.status).toBe(304);
    }
    expect((await call(`${api}/v1/templates/none/thumbnail`)).status).toBe(404);
  });

  test.each(['none', 'constructor', '..'])('the template %s does not exist', async (name) => {
    const answer = await call(`${api}/v1/templates/${encodeURIComponent(name).replace('..', '%2e%2e%2f')}`);
    expect(answer.status).toBe(404);
  });
});

/** Values that a parameter allows. */
function within(spec: ParameterSpec): fc.Arbitrary<unknown> {
  switch (spec.type) {
    case 'string':
      return spec.pattern === undefined
        ? fc.string({ minLength: spec.minLength ?? 0, maxLength: Math.min(spec.maxLength, 200) })
        : fc.constantFrom('a.safetensors', 'folder/b c.safetensors', 'v1.5-é.safetensors');
    case 'integer': {
      const { multipleOf: unit = 1, remainder = 0 } = spec;
      const range = { min: Math.ceil((spec.min - remainder) / unit), max: Math.floor((spec.max - remainder) / unit) };
      return fc.integer(range).map((n) => n * unit + remainder);
    }
    case 'number':
      return fc.double({ min: spec.min, max: spec.max, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'enum':
      return fc.constantFrom(...spec.values);
    case 'image':
    case 'mask':
    case 'video':
    case 'audio':
      return fc.constant(UPLOAD_ID);
  }
}

/** Values that it does not. */
function outside(spec: ParameterSpec): fc.Arbitrary<unknown> {
  const wrongType = fc.constantFrom<unknown>(null, [], {}, Number.NaN);
  switch (spec.type) {
    case 'string': {
      const tooLong = fc.constant('x'.repeat(spec.maxLength + 1));
      return fc.oneof(wrongType, fc.integer(), tooLong, ...((spec.minLength ?? 0) > 0 ? [fc.constant('')] : []));
    }
    case 'integer': {
      const unaligned = (spec.multipleOf ?? 1) > 1 ? [fc.constant(spec.min + 1)] : [];
      const beyond = spec.max < Number.MAX_SAFE_INTEGER ? [fc.integer({ min: spec.max + 1 })] : [];
      return fc.oneof(
        wrongType,
        fc.constant(`${spec.min}`),
        fc.constant(0.5),
        ...unaligned,
        ...beyond,
        below(spec.min),
      );
    }
    case 'number':
      return fc.oneof(wrongType, fc.constant('1'), below(spec.min), fc.double({ min: spec.max + 0.001, noNaN: true }));
    case 'boolean':
      return fc.oneof(wrongType, fc.constantFrom('true', 0, 1));
    case 'enum':
      return fc.oneof(
        wrongType,
        fc.string().filter((text) => !spec.values.includes(text)),
      );
    case 'image':
    case 'mask':
    case 'video':
    case 'audio':
      return fc.oneof(wrongType, fc.constantFrom('', 'example.png', '../a.png', 'upl_1', 'file:///etc/passwd'));
  }
}

const below = (min: number) => fc.integer({ max: Math.ceil(min) - 1 });

function valuesOf({ manifest }: Template): fc.Arbitrary<Record<string, unknown>> {
  const specs = Object.entries(manifest.parameters);
  const required = specs.filter(([, spec]) => spec.required === true).map(([name]) => name);
  return fc.record(Object.fromEntries(specs.map(([name, spec]) => [name, within(spec)])), { requiredKeys: required });
}

describe.each([...templates.values()].map((template) => [template.name, template] as const))('%s', (name, template) => {
  test('every combination of values within the ranges is accepted and reaches the graph', async () => {
    await fc.assert(
      fc.asyncProperty(valuesOf(template), async (parameters) => {
        const { asked, graph } = await parseGenerationRequest({ template: name, parameters }, world);
        expect(asked).toMatchObject(parameters);
        expect(Object.keys(asked)).toEqual(Object.keys(template.manifest.parameters));
        for (const [parameter, spec] of Object.entries(template.manifest.parameters)) {
          const written = isFileParameter(spec) ? `dg/inputs/${SHA256}.png` : asked[parameter];
          for (const { node, input } of spec.bindings) expect(graph[node]?.inputs[input]).toBe(written);
        }
      }),
      { numRuns: 50 },
    );
  });

  test.each(Object.entries(template.manifest.parameters))(
    '%s out of its range is always refused by name',
    async (parameter, spec) => {
      await fc.assert(
        fc.asyncProperty(valuesOf(template), outside(spec), async (parameters, wrong) => {
          const pointers = await pointersOf({ template: name, parameters: { ...parameters, [parameter]: wrong } });
          expect(pointers).toEqual([`/parameters/${parameter}`]);
        }),
        { numRuns: 25 },
      );
    },
  );
});

async function pointersOf(body: unknown): Promise<readonly string[]> {
  try {
    await parseGenerationRequest(body, world);
    return [];
  } catch (error) {
    if (error instanceof ProblemError) return error.places.map(({ pointer }) => pointer);
    throw error;
  }
}

test.each([
  [20, true],
  [21, false],
])('of %i parameters an unknown name gets all: %s, and the five closest in any case', (count, isListed) => {
  const names = Array.from({ length: count }, (_, index) => `width${index}`);
  const spec: ParameterSpec = { type: 'boolean', bindings: [] };
  const { places } = checkParameters(Object.fromEntries(names.map((name) => [name, spec])), { widht1: true });
  expect(places.map(({ pointer }) => pointer)).toEqual(['/widht1']);
  expect(places[0]?.closest).toHaveLength(5);
  expect(places[0]?.allowed).toEqual(isListed ? names : undefined);
});

describe('a template that is wrong stops the start with file and field', () => {
  type Edit = (document: Record<string, unknown>) => void;
  const parameter = (document: Record<string, unknown>, name: string) =>
    (document['parameters'] as Record<string, Record<string, unknown>>)[name] ?? {};

  test.each<[string, 'graph.json' | 'template.json', Edit, RegExp]>([
    ['an unknown field', 'template.json', (t) => (t['flatImage'] = 1), /template\.json: .*flatImage/],
    ['no outputs', 'template.json', (t) => (t['outputs'] = []), /template\.json: outputs: /],
    ['an output that is no node', 'template.json', (t) => (t['outputs'] = ['99']), /outputs: .*"99"/],
    [
      'a binding to no node',
      'template.json',
      (t) => (parameter(t, 'width')['bindings'] = [{ node: '99', input: 'width' }]),
      /parameters\.width\.bindings: .*node "99"/,
    ],
    [
      'a binding to no input',
      'template.json',
      (t) => (parameter(t, 'width')['bindings'] = [{ node: '1', input: 'wide' }]),
      /parameters\.width\.bindings: .*input "wide"/,
    ],
    [
      'a default out of range',
      'template.json',
      (t) => (parameter(t, 'width')['default'] = 0),
      /parameters\.width: default: /,
    ],
    [
      'neither required nor default',
      'template.json',
      (t) => delete parameter(t, 'width')['default'],
      /parameters\.width: needs exactly one/,
    ],
    [
      'an unknown type',
      'template.json',
      (t) => (parameter(t, 'width')['type'] = 'int'),
      /template\.json: parameters\.width/,
    ],
    ['an example that does not work', 'template.json', (t) => (t['example'] = { width: -1 }), /example\/width: /],
    [
      'expected names no parameter',
      'template.json',
      (t) => (t['expected'] = { width: 'w', height: null, count: null }),
      /width: there is no parameter "w"/,
    ],
    [
      'a remainder that no value has',
      'template.json',
      (t) => Object.assign(parameter(t, 'width'), { multipleOf: 8, remainder: 8 }),
      /parameters\.width: remainder must be smaller/,
    ],
    [
      'VRAM by what is no parameter',
      'template.json',
      (t) => (t['vram'] = [{ upTo: { width: 512, frames: 9 }, gb: 6 }]),
      /vram\.0\.upTo: there is no parameter "frames" that is a number/,
    ],
    [
      'a face in what is no picture',
      'template.json',
      (t) => (t['expected'] = { width: null, height: null, count: null, noFaceIfUnchanged: 'width' }),
      /noFaceIfUnchanged: there is no parameter "width" that is an image/,
    ],
    ['VRAM of nothing', 'template.json', (t) => (t['vram'] = [{ upTo: {}, gb: 6 }]), /names no parameter/],
    ['a dangling link', 'graph.json', (g) => delete g['1'], /graph\.json: 2\.inputs\.images/],
    ['a node without a class', 'graph.json', (g) => (g['3'] = { inputs: {} }), /graph\.json: 3\.class_type/],
  ])('%s', async (...[, file, edit, message]) => {
    const copy = await mkdtemp(join(tmpdir(), 'api-templates-'));
    try {
      await cp(join(folder, 'test-card'), join(copy, 'test-card'), { recursive: true });
      const path = join(copy, 'test-card', file);
      const document = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
      edit(document);
      await writeFile(path, JSON.stringify(document));
      await expect(loadTemplates(copy)).rejects.toThrow(message);
    } finally {
      await rm(copy, { recursive: true });
    }
  });

  test('a name that two folders have is refused, and so is a folder that is not there', async () => {
    await expect(loadTemplates(folder, folder)).rejects.toThrow(
      /comfy-workflows\/[a-z0-9-]+: there is another template of this name/,
    );
    await expect(loadTemplates(folder, '/nowhere')).rejects.toThrow(/^\/nowhere cannot be read: .*ENOENT/);
  });

  test('JSON that cannot be read names the file', async () => {
    const copy = await mkdtemp(join(tmpdir(), 'api-templates-'));
    await cp(join(folder, 'test-card'), join(copy, 'test-card'), { recursive: true });
    await writeFile(join(copy, 'test-card', 'graph.json'), '{');
    await expect(loadTemplates(copy)).rejects.toThrow(/test-card\/graph\.json/);
    await rm(copy, { recursive: true });
  });
});
