import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import type { Region } from 'sharp';
import { parseComfyUIAddress } from '../../activities/comfyui/comfyui-address.js';
import { createComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { inspectOutput } from '../../activities/media/inspect-output.js';
import type { MediaVerdict } from '../../activities/media/media-verdict.js';
import { parseGenerationRequest } from '../../api/generations/parse-generation-request.js';
import { loadTemplates } from '../../api/templates/load-templates.js';
import type { ParameterSpec } from '../../api/templates/template-manifest.js';
import type { Template } from '../../api/templates/template.js';
import type { ResolveInputs } from '../../api/uploads/resolve-inputs.js';
import { renderGraph } from '../../cli/templates/render-graph.js';
import type { RenderedFile } from '../../cli/templates/render-graph.js';
import { bringSamples, sampleInputsFor } from '../../cli/templates/sample-inputs.js';
import type { SampleInput } from '../../cli/templates/sample-inputs.js';
import { samplePortrait } from '../../cli/templates/sample-pictures.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { FileStore } from '../../infra/simulators/comfyui/file-store.js';
import { loadCatalogue } from '../../infra/simulators/comfyui/object-info.js';
import { serverVersions } from '../../infra/simulators/comfyui/server-versions.js';
import { validatePrompt } from '../../infra/simulators/comfyui/validate-prompt.js';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { classifyExecutionError } from '../../workflows/domain/classify-execution-error.js';
import { INPUT_SUBFOLDER } from '../../workflows/domain/input-files.js';
import { FFMPEG_PATH } from '../support/ffmpeg.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const templates = await loadTemplates(join(projectRoot, 'comfy-workflows'));
const recorded = serverVersions.find(({ number }) => number === '0.8.0');
const { classes } = loadCatalogue('full');

let folder: string;
let files: FileStore;
let simulator: SimulatorProcess;
let client: ComfyUIClient;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'every-template-'));
  files = new FileStore(join(folder, 'comfyui'));
  simulator = await startSimulator();
  client = createComfyUIClient(parseComfyUIAddress(simulator.url));
});
afterAll(async () => {
  await client.close();
  await simulator.stop();
  rmSync(folder, { recursive: true });
});

type Parameters = Readonly<Record<string, unknown>>;

/** What must be given, so that the rest can be left to the defaults. */
function required({ manifest }: Template): Parameters {
  const specs = Object.entries(manifest.parameters).filter(([, spec]) => spec.required === true);
  return Object.fromEntries(specs.map(([name, spec]) => [name, manifest.example[name] ?? extremesOf(spec)[0]]));
}

/** As the API binds it, but for the files: whatever is named, it is our samples that are used. */
async function bound(template: Template, parameters: Parameters) {
  const samples = await samplesOf(template);
  const resolveInputs: ResolveInputs = async (wanted) =>
    new Map(
      wanted.flatMap(({ pointer }) => {
        const sample = samples.get(pointer.replace('/parameters/', ''));
        return sample === undefined ? [] : [[pointer, sample.input] as const];
      }),
    );
  return parseGenerationRequest(
    { template: template.name, parameters },
    { templates, resolveInputs, provider: 'comfyui' },
  );
}

const samplesByTemplate = new Map<string, Promise<ReadonlyMap<string, SampleInput>>>();

/** Made once, and put where the validation looks for them. */
async function samplesOf(template: Template): Promise<ReadonlyMap<string, SampleInput>> {
  const known = samplesByTemplate.get(template.name);
  if (known !== undefined) return known;
  const made = sampleInputsFor(template).then((samples) => {
    const inputs = join(files.folder('input'), INPUT_SUBFOLDER);
    mkdirSync(inputs, { recursive: true });
    for (const { filename, bytes } of samples.values()) writeFileSync(join(inputs, filename), bytes);
    return samples;
  });
  samplesByTemplate.set(template.name, made);
  return made;
}

/** Everything that a parameter reaches; names of files only as far as the simulator has them. */
function extremesOf(spec: ParameterSpec): readonly unknown[] {
  switch (spec.type) {
    case 'string':
      if (spec.pattern !== undefined) return spec.default === undefined ? [] : [spec.default];
      return ['x'.repeat(spec.minLength ?? 0), 'x'.repeat(spec.maxLength)];
    case 'integer': {
      const { multipleOf: unit = 1, remainder = 0 } = spec;
      const first = Math.ceil((spec.min - remainder) / unit) * unit + remainder;
      return [first, Math.floor((spec.max - remainder) / unit) * unit + remainder];
    }
    case 'number':
      return [spec.min, spec.max];
    case 'boolean':
      return [false, true];
    case 'enum':
      return spec.values;
    case 'image':
    case 'mask':
    case 'video':
    case 'audio':
      return [`upl_${'0'.repeat(32)}`];
  }
}

/** The faults that ComfyUI's own validation finds, as the recorded server words them. */
async function faultsOf(template: Template, parameters: Parameters): Promise<unknown> {
  const { graph } = await bound(template, parameters);
  if (recorded === undefined) throw new TypeError('the recorded version is not simulated');
  const context = { classes, files, options: { version: recorded } };
  const { error, nodeErrors } = validatePrompt(structuredClone(graph), null, context);
  return { error, nodeErrors };
}
const NO_FAULTS = { error: null, nodeErrors: {} };

/** What decides the work of a rendering; `height` differs from `width`, so that a mix-up is seen. */
const SMALL: Readonly<Record<string, 'smallest' | 'second'>> = {
  ...{ width: 'smallest', height: 'second', frames: 'smallest', fps: 'smallest', steps: 'smallest' },
  ...{ batch_size: 'second', left: 'second', top: 'smallest', right: 'second', bottom: 'second', size: 'smallest' },
};

/** The defaults, scaled down as far as the ranges allow. */
function small(template: Template): Parameters {
  const specs = Object.entries(template.manifest.parameters);
  const scaled = specs.flatMap(([name, spec]) => {
    const size = SMALL[name];
    if (size === undefined || spec.type !== 'integer') return [];
    const [smallest] = extremesOf(spec);
    return [[name, Number(smallest) + (size === 'second' ? (spec.multipleOf ?? 1) : 0)]];
  });
  return { ...required(template), ...(Object.fromEntries(scaled) as Parameters) };
}

async function inspected(file: RenderedFile, expected: ExpectedOutputs): Promise<MediaVerdict> {
  const path = join(folder, file.filename);
  writeFileSync(path, file.bytes);
  const { reference } = file;
  return inspectOutput({ path, reference, expected, ffmpegPath: FFMPEG_PATH, signal: AbortSignal.timeout(30_000) });
}

describe.each([...templates.values()].map((template) => [template.name, template] as const))(
  '%s',
  (_name, template) => {
    test('is valid with its defaults and its example on the recorded server, with the models it names', async () => {
      expect(await faultsOf(template, required(template))).toEqual(NO_FAULTS);
      expect(await faultsOf(template, template.manifest.example)).toEqual(NO_FAULTS);
    });

    test.each(Object.entries(template.manifest.parameters))(
      'is valid with %s at each end of its range',
      async (parameter, spec) => {
        for (const value of extremesOf(spec)) {
          expect(await faultsOf(template, { ...required(template), [parameter]: value })).toEqual(NO_FAULTS);
        }
      },
    );

    test('renders what was asked for: kind, size, count, frames and duration', async () => {
      const { graph, expected } = await bound(template, small(template));
      await bringSamples(client, (await samplesOf(template)).values());
      const rendered = await renderGraph(client, graph);
      expect(rendered).toHaveLength(expected.count ?? 1);
      for (const file of rendered) {
        expect(template.manifest.outputs).toContain(file.reference.nodeId);
        expect(await inspected(file, expected)).toMatchObject({ ok: true });
      }
      const [first] = rendered;
      if (first === undefined) throw new TypeError('nothing was rendered');
      for (const wrong of otherExpectations(expected)) {
        expect(await inspected(first, { ...expected, ...wrong })).toMatchObject({ ok: false });
      }
    }, 60_000);
  },
);

/** Proof that the check above looks: anything else than what was asked for would have been found. */
function otherExpectations({ widthPx, heightPx, frames, kind }: ExpectedOutputs): readonly Partial<ExpectedOutputs>[] {
  return [
    ...(widthPx === null ? [] : [{ widthPx: widthPx + 8 }]),
    ...(heightPx === null ? [] : [{ heightPx: heightPx - 8 }]),
    ...(frames === null || kind !== 'video' ? [] : [{ frames: frames + 4, durationSeconds: null }]),
  ];
}

/** The mean colour of a part of a picture. */
async function colorOf(bytes: Buffer, part: Region): Promise<readonly number[]> {
  const { channels } = await sharp(await sharp(bytes).removeAlpha().extract(part).png().toBuffer()).stats();
  return channels.map(({ mean }) => Math.round(mean));
}

async function renderedBy(name: string, parameters: Parameters): Promise<Buffer> {
  const template = templates.get(name);
  if (template === undefined) throw new TypeError(`there is no template ${name}`);
  const { graph } = await bound(template, { ...required(template), steps: 1, seed: 1, ...parameters });
  await bringSamples(client, (await samplesOf(template)).values());
  const [file] = await renderGraph(client, graph);
  if (file === undefined) throw new TypeError('nothing was rendered');
  return file.bytes;
}

describe('what the simulator draws', () => {
  const LEFT = { left: 0, top: 40, width: 16, height: 100 };
  const RIGHT = { left: 236, top: 100, width: 16, height: 80 };

  test('inpainting keeps what is black in the mask and draws the rest anew', async () => {
    const sample = await samplePortrait();
    const drawn = await renderedBy('sd15-inpaint', { grow_mask: 0 });
    expect(await colorOf(drawn, LEFT)).toEqual(await colorOf(sample, LEFT));
    expect(await colorOf(drawn, RIGHT)).not.toEqual(await colorOf(sample, RIGHT));
  });

  test('outpainting keeps the picture in its place', async () => {
    const drawn = await renderedBy('flux-fill-outpaint', { left: 64, right: 0, top: 32, feathering: 0 });
    const moved = { ...LEFT, left: LEFT.left + 64, top: LEFT.top + 32 };
    expect(await colorOf(drawn, moved)).toEqual(await colorOf(await samplePortrait(), LEFT));
  });

  test('image to image shows the picture the more, the less is drawn anew', async () => {
    const sample = await colorOf(await samplePortrait(), RIGHT);
    const distances: number[] = [];
    for (const denoise of [0, 0.5, 1]) {
      const drawn = await colorOf(await renderedBy('sd15-image-to-image', { denoise }), RIGHT);
      distances.push(drawn.reduce((sum, value, index) => sum + Math.abs(value - (sample[index] ?? 0)), 0));
    }
    expect(distances[0]).toBe(0);
    expect(distances[1]).toBeGreaterThan(0);
    expect(distances[2]).toBeGreaterThan(distances[1] ?? 0);
  });

  test.each([
    ['faceid-portrait', 'InsightFace: No face detected.'],
    ['liveportrait', 'No face detected in FIRST source image'],
  ])('%s finds no face in a flat picture, and says so as its package does', async (name, message) => {
    const flat = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#888' } })
      .png()
      .toBuffer();
    const template = templates.get(name);
    if (template === undefined) throw new TypeError(`there is no template ${name}`);
    const samples = await samplesOf(template);
    const { graph } = await bound(template, required(template));
    const withFlat = [...samples.values()].map((sample) =>
      sample.input.kind === 'image' ? { ...sample, bytes: flat } : sample,
    );
    await bringSamples(client, withFlat);
    await expect(renderGraph(client, graph)).rejects.toThrow(message);
    const failed = { exceptionType: 'Exception', exceptionMessage: message, lastTracebackLine: '' };
    expect(classifyExecutionError(failed)).toBe('NO_FACE');
  });
});
