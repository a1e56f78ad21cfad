import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import type { Sharp } from 'sharp';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const GRAPH = {
  '1': { class_type: 'LoadImage', inputs: { image: 'photo.png' } },
  '2': { class_type: 'LoadImage', inputs: { image: 'face.png' } },
  '3': {
    class_type: 'ReActorFaceSwap',
    inputs: {
      ...{ enabled: true, input_image: ['1', 0], source_image: ['2', 0], swap_model: 'inswapper_128.onnx' },
      ...{ facedetection: 'retinaface_resnet50', face_restore_model: 'none', face_restore_visibility: 1 },
      ...{ codeformer_weight: 0.5, detect_gender_source: 'no', detect_gender_input: 'no' },
      ...{ source_faces_index: '0', input_faces_index: '0', console_log_level: 1 },
    },
  },
  '4': { class_type: 'SaveImage', inputs: { images: ['3', 0], filename_prefix: 'swapped' } },
};

const image = (node: string) => ({ type: 'image', required: true, bindings: [{ node, input: 'image' }] });
const MANIFEST = {
  ...{ title: 'Face swap', description: 'Puts the face of one photo into another.', outputs: ['4'], pool: 'default' },
  parameters: { photo: image('1'), face: image('2') },
  expected: { width: 'photo.width', height: 'photo.height', count: null },
  ...{ flatImages: 'allow', limits: {}, models: [], customNodes: [] },
  example: { photo: 'https://example.com/photo.png', face: 'https://example.com/face.png' },
};

const folder = mkdtempSync(join(tmpdir(), 'silent-no-face-'));
let simulator: SimulatorProcess;
let service: Service;
let withFace: string;
/** One colour: the simulator's nodes see no face in it. */
let withoutFace: string;

beforeAll(async () => {
  addTemplate('face-swap', { ...MANIFEST, expected: { ...MANIFEST.expected, noFaceIfUnchanged: 'photo' } });
  addTemplate('face-swap-undeclared', MANIFEST);
  simulator = await startSimulator();
  service = await startService({ comfyUrls: [simulator.url], env: { TEMPLATES_DIR: folder } });
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const size = { width: 96, height: 64, channels: 3 as const };
  withFace = await upload(sharp({ create: { ...size, background: '#000', noise } }));
  withoutFace = await upload(sharp({ create: { ...size, background: '#7799bb' } }));
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
  rmSync(folder, { recursive: true });
}, 60_000);

function addTemplate(name: string, manifest: object): void {
  mkdirSync(join(folder, name));
  writeFileSync(join(folder, name, 'graph.json'), JSON.stringify(GRAPH));
  writeFileSync(join(folder, name, 'template.json'), JSON.stringify(manifest));
}

async function upload(picture: Sharp): Promise<string> {
  const form = new FormData();
  form.append('file', new Blob([new Uint8Array(await picture.png().toBuffer())]), 'photo.png');
  const response = await fetch(`${service.apiUrl}/v1/uploads`, { method: 'POST', body: form });
  return ((await response.json()) as { readonly id: string }).id;
}

test('R4.2 R4.5 a swap that finds no face delivers nothing and costs nothing, although ComfyUI calls it a success', async () => {
  await service.post('/v1/accounts', { id: 'heron' });
  await service.post('/v1/accounts/heron/grants', { credits: 1, reference: 'start' });
  const parameters = { photo: withFace, face: withoutFace };
  const { id } = await service.submit({ template: 'face-swap', parameters, account: 'heron' });
  const seen = await service.untilStatus(id, 'FAILED', 60_000);
  expect(seen).toMatchObject({ outputs: [], attempts: [], error: { kind: 'NO_FACE' }, credits: { state: 'released' } });
  expect(seen.error?.detail).toContain('pixel by pixel');
  expect(simulator.journal().filter(({ event }) => event === 'rendering_started')).toHaveLength(1);
}, 90_000);

test('R4.2 a swap that finds a face is delivered', async () => {
  const { id } = await service.submit({ template: 'face-swap', parameters: { photo: withFace, face: withFace } });
  expect((await service.untilStatus(id, 'COMPLETED', 60_000)).outputs).toMatchObject([{ width: 96, height: 64 }]);
}, 90_000);

test('a template that declares nothing gets what ComfyUI calls a success', async () => {
  const parameters = { photo: withFace, face: withoutFace };
  const { id } = await service.submit({ template: 'face-swap-undeclared', parameters });
  expect((await service.untilStatus(id, 'COMPLETED', 60_000)).outputs).toHaveLength(1);
}, 90_000);
