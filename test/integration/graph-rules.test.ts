import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { textToImage } from '../simulator/graphs.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator();
  service = await startService({ comfyUrls: [simulator.url] });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

const received = () => simulator.journal().filter(({ event }) => event === 'prompt_received').length;

/** Texts that lead, or might lead, out of what was brought with a request. */
const hostileText = fc.oneof(
  fc.constantFrom('/etc/passwd', '..\\..\\secret', 'C:\\x.png', 'file:///etc/hosts', '~/.ssh/id_rsa', 'x.png [output]'),
  fc
    .tuple(fc.constantFrom('../', 'a/../../', '/', 'http://169.254.169.254/', 'dg/'), fc.string({ maxLength: 10 }))
    .map(([start, end]) => start + end.replaceAll(/[\0\s"']/g, 'x') + 'x'),
);
const hostileValue = fc.oneof(
  hostileText,
  hostileText.map((text) => ({ __value__: text })),
  hostileText.map((text) => [text, text, text]),
);
const place = fc.constantFrom(
  ...([
    ['LoadImage', 'image'],
    ['LoadImageMask', 'image'],
    ['LoadLatent', 'latent'],
    ['LoadVideo', 'file'],
  ] as const),
  ...([
    ['Preview3D', 'model_file'],
    ['DiffusersLoader', 'model_path'],
    ['SaveImage', 'output_folder'],
  ] as const),
);

test('B4 no hostile value reaches ComfyUI, and a graph without one does', async () => {
  await fc.assert(
    fc.asyncProperty(place, hostileValue, async ([classType, input], value) => {
      const graph = { ...textToImage(), '20': { class_type: classType, inputs: { [input]: value } } };
      const answer = await service.post('/v1/generations', { graph });
      expect([answer.status, await answer.text()]).toEqual([
        422,
        expect.stringMatching(/"graph_refused".*"nodeId":"20"/s),
      ]);
    }),
    { numRuns: 60 },
  );
  expect(received()).toBe(0);
  const graph = {
    ...textToImage(),
    '21': { class_type: 'PreviewAny', inputs: { source: ['6', 0], folder: 'plain/name' } },
  };
  const { id } = await service.submit({ graph });
  await service.untilStatus(id, 'COMPLETED');
  expect(received()).toBe(1);
});

test('B4 a class that only ComfyUI knows to be denied ends the generation before anything is posted', async () => {
  const before = received();
  const bucket = { class_type: 'ResolutionBucket', inputs: {}, _meta: { title: 'Buckets' } };
  const { id } = await service.submit({ graph: { ...textToImage(), '20': bucket } });
  const { error } = await service.untilStatus(id, 'FAILED');
  expect(error).toMatchObject({ kind: 'WORKFLOW_ERROR' });
  expect(error?.detail).toMatch(/node 20 "Buckets" \(ResolutionBucket\): this class trains a model/);
  expect(received()).toBe(before);
});

test('B4 a prefix that a node of the caller computes is not used', async () => {
  const graph = {
    ...textToImage({ seed: 7 }),
    '20': { class_type: 'PrimitiveString', inputs: { value: '../../../escaped' } },
    '9': { class_type: 'SaveImage', inputs: { images: ['8', 0], filename_prefix: ['20', 0] } },
  };
  const { id } = await service.submit({ graph });
  expect(await service.untilStatus(id, 'COMPLETED')).toMatchObject({ outputs: [{ kind: 'image' }] });
});
