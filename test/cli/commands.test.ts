import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { loadTemplates } from '../../api/templates/load-templates.js';
import type { Template } from '../../api/templates/template.js';
import { checkCommand } from '../../cli/templates/check-command.js';
import { importCommand } from '../../cli/templates/import-command.js';
import { missingParts } from '../../cli/templates/missing-parts.js';
import { proposeManifest } from '../../cli/templates/propose-manifest.js';
import { thumbnailsCommand } from '../../cli/templates/thumbnails-command.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const PROGRAM = join(projectRoot, 'dist', 'cli', 'templates', 'main.js');
const templates = await loadTemplates(join(projectRoot, 'comfy-workflows'));

let full: SimulatorProcess;
let bare: SimulatorProcess;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'template-tools-'));
  full = await startSimulator();
  bare = await startSimulator({ extraArgs: ['--catalogue', 'recorded'] });
});
afterAll(async () => {
  await full.stop();
  await bare.stop();
  rmSync(folder, { recursive: true });
});

type Command = typeof checkCommand;
async function run(command: Command, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const lines: string[] = [];
  const code = await command(args, { env, say: (line) => lines.push(line) });
  return { code, said: lines.join('\n') };
}

function templateNamed(name: string): Template {
  const template = templates.get(name);
  if (template === undefined) throw new TypeError(`there is no template ${name}`);
  return template;
}

describe('templates:check', () => {
  test('finds nothing missing on a ComfyUI that has everything', async () => {
    const { code, said } = await run(checkCommand, ['--url', full.url]);
    expect(said).toContain(`${templates.size} of ${templates.size} templates can run`);
    expect(code).toBe(0);
  });

  test('says what a fresh ComfyUI lacks, where to get it, and fails', async () => {
    const { code, said } = await run(checkCommand, ['--url', bare.url]);
    expect(code).toBe(1);
    expect(said).toContain('test-card: ok');
    expect(said).toMatch(
      /sdxl-text-to-image: 1 missing\n {2}model sd_xl_base_1\.0\.safetensors: put it into models\/checkpoints, from https:\S+ \(node 4, Load Checkpoint\)/,
    );
    expect(said).toContain('class LivePortraitProcess: from https://github.com/kijai/ComfyUI-LivePortraitKJ or');
    expect(said).toContain('not shown by ComfyUI: models/liveportrait/warping_module.safetensors, from https:');
  });

  test('a class with other inputs, and a value that is not offered, are told with what there is', () => {
    const template = templateNamed('test-card');
    const graph = { '1': { class_type: 'EmptyImage', inputs: { width: 1, wide: 2, mode: 'fast' } } };
    const input = { required: { width: ['INT', {}], height: ['INT', {}], mode: [['slow', 'faster'], {}] } };
    expect(missingParts({ template, graph, models: [] }, { EmptyImage: { input } })).toEqual([
      'EmptyImage wants an input height (node 1, EmptyImage)',
      'EmptyImage has no input wide; it has width, height, mode (node 1, EmptyImage)',
      'EmptyImage does not offer mode "fast"; the closest are faster, slow (node 1, EmptyImage)',
    ]);
  });

  test('as a program: exit code 1 for what is missing, 2 for an address where nothing is, and no stack', () => {
    const program = (...args: readonly string[]) =>
      spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' });
    expect(program('check', '--url', bare.url, '--template', 'upscale-x4').status).toBe(1);
    const nowhere = program('check', '--url', 'http://127.0.0.1:9');
    expect([nowhere.status, nowhere.stderr]).toEqual([2, expect.stringContaining('127.0.0.1:9')]);
    expect(nowhere.stderr).not.toContain('    at ');
    expect(program('chek')).toMatchObject({ status: 2, stderr: expect.stringContaining('check, import, thumbnails') });
  });

  test.each([
    [[], /--url is missing/],
    [['--url', 'ftp://here'], /must be the address of a ComfyUI/],
    [['--url', 'http://here', '--template', 'none'], /There is no template none; there are .*test-card/],
    [['--uri', 'http://here'], /Unknown option '--uri'[^]*Usage: npm run templates:check/],
  ])('%j is refused with what is allowed', async (args, message) => {
    await expect(run(checkCommand, args)).rejects.toThrow(message);
  });
});

describe('templates:import', () => {
  const graphOf = (name: string) => join(projectRoot, 'comfy-workflows', name, 'graph.json');

  test.each([...templates.keys()].filter((name) => name !== 'test-card'))(
    'proposes of the graph of %s what its own template binds',
    (name) => {
      const { manifest, graph } = templateNamed(name);
      const proposed = proposeManifest('mine', graph) as unknown as Template['manifest'];
      expect(proposed.outputs).toEqual(manifest.outputs);
      expect(proposed.expected.kind ?? 'image').toBe(manifest.expected.kind);
      const usual =
        /^(image|mask|video|prompt|negative_prompt|width|height|frames|fps|batch_size|steps|cfg|guidance|denoise|seed|sampler|scheduler|model)$/;
      for (const [parameter, { type, bindings }] of Object.entries(manifest.parameters)) {
        if (!usual.test(parameter)) continue;
        if (parameter === 'model' && bindings[0]?.input === 'model_name') continue;
        expect(proposed.parameters).toHaveProperty(parameter);
        const kinds = [type, ...(['sampler', 'scheduler'].includes(parameter) ? ['string'] : [])];
        expect(parameter === 'fps' ? ['number'] : kinds).toContain(proposed.parameters[parameter]?.type);
        expect(proposed.parameters[parameter]?.bindings).toEqual(expect.arrayContaining([...bindings]));
      }
    },
  );

  test('writes a template that the API loads, says what to do next, and never overwrites', async () => {
    const args = [graphOf('wan22-text-to-video'), '--name', 'my-video', '--folder', folder];
    const { code, said } = await run(importCommand, args);
    expect([code, said]).toEqual([0, expect.stringContaining(`TEMPLATES_DIR=${folder}`)]);
    const mine = (await loadTemplates(folder)).get('my-video');
    expect(mine?.manifest.expected).toMatchObject({ kind: 'video', width: 'width', frames: 'frames', fps: 'fps' });
    expect(readFileSync(join(folder, 'my-video', 'graph.json'), 'utf8')).toBe(
      readFileSync(graphOf('wan22-text-to-video'), 'utf8'),
    );
    await expect(run(importCommand, args)).rejects.toThrow(/There is a template my-video already/);
  });

  const file = (name: string, document: unknown) => {
    const path = join(folder, name);
    writeFileSync(path, typeof document === 'string' ? document : JSON.stringify(document));
    return path;
  };
  test.each([
    [
      'a graph of the editor',
      { nodes: [], links: [] },
      /UI format, which cannot be submitted\. In ComfyUI choose Workflow → Export \(API\)/,
    ],
    ['no JSON', '{', /is no JSON/],
    ['no graph', { '1': { inputs: {} } }, /is no graph in API format: 1\.class_type/],
    ['nothing that saves', { '1': { class_type: 'PreviewImage', inputs: {} } }, /no node that saves/],
    ['a dangling link', { '1': { class_type: 'SaveImage', inputs: { images: ['9', 0] } } }, /linked to no node/],
  ])('%s is refused, and nothing is written', async (what, document, message) => {
    const path = file(`${what.replaceAll(' ', '-')}.json`, document);
    await expect(run(importCommand, [path, '--name', 'refused', '--folder', folder])).rejects.toThrow(message);
    expect(existsSync(join(folder, 'refused'))).toBe(false);
  });

  /** Stands for the path of a graph: titles of tests must not depend on the machine. */
  const TEST_CARD = 'graph.json of test-card';

  test.each([
    [['--name', 'x'], /One graph\.json must be named/],
    [[TEST_CARD, '--name', 'My Template'], /lower case words/],
    [[TEST_CARD, '--name', 'x'], /set TEMPLATES_DIR/],
    [['/none.json', '--name', 'x', '--folder', '/tmp'], /\/none\.json cannot be read/],
    [[TEST_CARD, '--name', 'test-card', '--folder', '/tmp'], /There is a template test-card already/],
  ])('%j is refused with what is allowed', async (args, message) => {
    const here = args.map((arg) => (arg === TEST_CARD ? graphOf('test-card') : arg));
    await expect(run(importCommand, here)).rejects.toThrow(message);
  });
});

describe('templates:thumbnails', () => {
  test('keeps a small WebP of what a ComfyUI makes of the example, beside a template of one’s own', async () => {
    const own = join(folder, 'own');
    await run(importCommand, [
      join(projectRoot, 'comfy-workflows', 'sd15-image-to-image', 'graph.json'),
      ...['--name', 'my-picture', '--folder', own],
    ]);
    const args = ['--url', full.url, '--template', 'my-picture'];
    expect((await run(thumbnailsCommand, args, { TEMPLATES_DIR: own })).code).toBe(0);
    const bytes = readFileSync(join(own, 'my-picture', 'thumbnail.webp'));
    expect(bytes.length).toBeLessThan(30_000);
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'webp', width: 256, height: 192 });
    const loaded = (await loadTemplates(own)).get('my-picture');
    expect(loaded?.thumbnail?.mediaType).toBe('image/webp');
  });
});
