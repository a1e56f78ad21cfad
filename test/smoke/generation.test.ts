import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createObjectStore } from '../../activities/storage/object-store.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.02 });
  service = await startService({ comfyUrls: [simulator.url] });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

const request = {
  template: 'sd15-text-to-image',
  parameters: { prompt: 'a lighthouse at dusk', width: 512, height: 512, steps: 20, seed: 1 },
};

test('a request becomes a validated, stored picture whose progress can be followed', async () => {
  const accepted = await service.submit(request);
  expect(accepted).toMatchObject({ status: 'QUEUED', asked: { width: 512, seed: 1 } });

  const events = await sseEventsOf(`${service.apiUrl}/v1/generations/${accepted.id}/events`);
  const types = events.map(({ event }) => event);
  const notSteady = (type: string): boolean => type !== 'progress' && type !== 'queue';
  expect(types.filter(notSteady)).toEqual(['accepted', 'processing', 'completed']);

  const finished = await service.get(accepted.id);
  expect(finished.status).toBe('COMPLETED');
  const [output] = finished.outputs;
  expect(output).toMatchObject({ kind: 'image', mediaType: 'image/png', width: 512, height: 512 });

  const bytes = Buffer.from(await (await fetch(`${service.apiUrl}${output?.url ?? ''}`)).arrayBuffer());
  const decoded = await sharp(bytes, { failOn: 'warning' }).raw().toBuffer({ resolveWithObject: true });
  expect(decoded.info).toMatchObject({ width: 512, height: 512 });
  const store = createObjectStore(service.bucket);
  const stored = await store.facts(`jobs/${accepted.id}/image_0.png`);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  expect({ stored: stored?.sha256, reported: output?.sha256, bytes: stored?.bytes }).toEqual({
    stored: sha256,
    reported: sha256,
    bytes: bytes.length,
  });
  expect(service.workerLog()).toContain(`Downloaded ${bytes.length} bytes`); // R3.2
  expect(service.workerLog()).toContain(`Uploaded ${bytes.length} bytes to jobs/${accepted.id}/image_0.png`);
});

test('a graph in API format is rendered as it is, and Prefer: wait answers with the finished generation', async () => {
  const graph = {
    '1': { class_type: 'EmptyImage', inputs: { width: 96, height: 64, batch_size: 2, color: 65280 } },
    '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'mine' } },
  };
  const response = await service.post('/v1/generations', { graph }, { prefer: 'wait=30' });
  expect(response.status).toBe(200);
  const finished = (await response.json()) as SeenGeneration;
  expect(finished).toMatchObject({
    status: 'COMPLETED',
    outputs: [
      { width: 96, height: 64 },
      { width: 96, height: 64 },
    ],
  });
});

test('a generation is told in Temporal: status, search attributes, current details', async () => {
  const { id } = await service.submit({ template: 'test-card', parameters: { width: 64, height: 64 } });
  await service.untilStatus(id, 'COMPLETED');
  const handle = service.temporal.workflow.getHandle(`generation/${id}`);
  await handle.result();
  const description = await handle.describe();
  expect(description.status.name).toBe('COMPLETED');
  expect(
    await service.temporal.workflow.count(`GenerationStatus = 'COMPLETED' AND Template = 'test-card'`),
  ).toMatchObject({
    count: 1,
  });
  expect(await description.staticSummary()).toBe('test-card');
});

test('a node that fails ends the generation with the node, the kind and the cause', async () => {
  const graph = {
    '1': { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 'cornflower' } },
    '2': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'x' } },
  };
  const { id } = await service.submit({ graph });
  const failed = await service.untilStatus(id, 'FAILED');
  expect(failed.error).toMatchObject({ kind: 'WORKFLOW_ERROR', code: 'workflow_error' });
  expect(failed.error?.detail).toContain('cornflower');
  await expect(service.temporal.workflow.getHandle(`generation/${id}`).result()).rejects.toMatchObject({
    cause: { type: 'WORKFLOW_ERROR' },
  });
});

async function sseEventsOf(url: string): Promise<readonly { readonly event: string; readonly data: string }[]> {
  const response = await fetch(url, { headers: { accept: 'text/event-stream' } });
  const text = await response.text(); // the stream ends with the terminal event
  return text.split('\n\n').flatMap((block) => {
    const event = /^event: (.*)$/m.exec(block)?.[1];
    return event === undefined ? [] : [{ event, data: /^data: (.*)$/m.exec(block)?.[1] ?? '' }];
  });
}
