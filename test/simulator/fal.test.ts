import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { FAL_FAULT_KINDS } from '../../infra/simulators/fal/faults.js';
import { SIMULATOR_KEY } from '../../infra/simulators/fal/options.js';
import { FAL_MAIN, armFal, callFal, falEvents, startFal } from '../support/fal-process.js';
import type { FalProcess } from '../support/fal-process.js';
import { until } from '../support/until.js';

const MODEL = 'fal-ai/flux/dev';
const PROMPT = { prompt: 'a lighthouse', image_size: { width: 64, height: 48 }, seed: 7 };

let fal: FalProcess;
const others: FalProcess[] = [];
beforeAll(async () => {
  fal = await startFal();
});
afterAll(async () => {
  await fal.stop();
});
afterEach(async () => {
  await callFal(`${fal.url}/simulator/faults`, { method: 'DELETE' });
  await Promise.all(others.splice(0).map(async (one) => one.stop()));
});

async function another(...options: Parameters<typeof startFal>): Promise<FalProcess> {
  const started = await startFal(...options);
  others.push(started);
  return started;
}

async function submitted(on: FalProcess, body: object = PROMPT) {
  const { status, body: answer } = await callFal(`${on.url}/${MODEL}`, { method: 'POST', body });
  expect(status).toBe(200);
  return answer as { request_id: string; status_url: string; response_url: string; cancel_url: string };
}

async function completed(on: FalProcess, body: object = PROMPT) {
  const addresses = await submitted(on, body);
  const status = await until('it is completed', async () => {
    const answer = await callFal(addresses.status_url);
    return answer.body['status'] === 'COMPLETED' ? answer : null;
  });
  return { addresses, status };
}

describe('A request', () => {
  test('is answered with its addresses, in which the path of the model is missing', async () => {
    const { body } = await callFal(`${fal.url}/${MODEL}`, { method: 'POST', body: PROMPT });
    const url = `${fal.url}/fal-ai/flux/requests/${String(body['request_id'])}`;
    expect(body).toMatchObject({ response_url: url, status_url: `${url}/status`, cancel_url: `${url}/cancel` });
    expect(body).toMatchObject({ status: 'IN_QUEUE', queue_position: 0 });
  });

  test('ends with a picture of the size and the format that were asked for', async () => {
    const { addresses, status } = await completed(fal, { ...PROMPT, output_format: 'jpeg', num_images: 2 });
    expect(status).toMatchObject({ status: 200, body: { metrics: { inference_time: 0 }, logs: null } });
    const { body } = await callFal(addresses.response_url);
    const images = body['images'] as { url: string; content_type: string; file_size: number }[];
    expect(body).toMatchObject({ seed: 7, has_nsfw_concepts: [false, false], prompt: 'a lighthouse' });
    expect(images).toMatchObject([{ width: 64, height: 48, content_type: 'image/jpeg' }, {}]);
    const response = await fetch(images[0]?.url ?? ''); // without a key, as fal's own files
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(bytes.length).toBe(images[0]?.file_size);
    expect(await sharp(bytes).metadata()).toMatchObject({ width: 64, height: 48, format: 'jpeg' });
    expect(falEvents(fal, 'file_served').at(-1)).toMatchObject({ requestId: addresses.request_id, name: '0.jpeg' });
  });

  test('shows what was asked for, within the picture', async () => {
    const drawn = async (extra: object) => {
      const { addresses } = await completed(fal, { ...PROMPT, image_size: { width: 256, height: 256 }, ...extra });
      const { body } = await callFal(addresses.response_url);
      const [image] = body['images'] as readonly { readonly url: string }[];
      const bytes = await (await fetch(image?.url ?? '')).arrayBuffer();
      return sharp(bytes).raw().toBuffer({ resolveWithObject: true });
    };
    const few = await drawn({ num_inference_steps: 5, guidance_scale: 2 });
    expect(few.data.equals((await drawn({ num_inference_steps: 5, guidance_scale: 2 })).data)).toBe(true);
    expect(few.data.equals((await drawn({ num_inference_steps: 6, guidance_scale: 2 })).data)).toBe(false);
    expect(few.data.equals((await drawn({ num_inference_steps: 5, guidance_scale: 3 })).data)).toBe(false);
    const long = await drawn({ prompt: `${'a lighthouse at dusk '.repeat(3)}${'x'.repeat(80)}` });
    const whites = Array.from({ length: 256 * 256 }, (_, pixel) => pixel).filter((pixel) =>
      long.data.subarray(pixel * 3, pixel * 3 + 3).every((value) => value === 255),
    );
    expect(whites.length).toBeGreaterThan(100); // letters
    expect(whites.filter((pixel) => pixel % 256 >= 248)).toEqual([]);
  });

  test('waits while the runners are busy, says how many are before it, and shows its log only when asked', async () => {
    const busy = await another({ seconds: 60 });
    const first = await submitted(busy);
    const second = await submitted(busy);
    const third = await submitted(busy);
    expect(await callFal(third.status_url)).toMatchObject({
      status: 202,
      body: { status: 'IN_QUEUE', queue_position: 1 },
    });
    expect((await callFal(second.status_url)).body).toMatchObject({ queue_position: 0 });
    expect(await callFal(first.status_url)).toMatchObject({ status: 202, body: { status: 'IN_PROGRESS', logs: null } });
    expect((await callFal(`${first.status_url}?logs=1`)).body).toMatchObject({ logs: [{ level: 'INFO' }] });
    expect(await callFal(first.response_url)).toMatchObject({
      status: 400,
      body: { detail: 'Request is still in progress' },
    });
  });

  test('that expands a given picture ends with a larger one; one that cannot be read is refused', async () => {
    const png = await sharp({ create: { width: 20, height: 10, channels: 3, background: '#246' } })
      .png()
      .toBuffer();
    const image = `data:image/png;base64,${png.toString('base64')}`;
    const { addresses } = await completed(fal, { image_url: image, expand_left: 12, expand_bottom: 6 });
    expect((await callFal(addresses.response_url)).body).toMatchObject({ images: [{ width: 32, height: 16 }] });
    const broken = await completed(fal, { image_url: 'data:image/png;base64,AAAA' });
    expect(broken.status.body).not.toHaveProperty('error'); // what the model refuses is told with the result alone
    expect(await callFal(broken.addresses.response_url)).toMatchObject({
      status: 422,
      body: { detail: [{ loc: ['body', 'image_url'], type: 'image_load_error' }] },
    });
  });

  test('survives the process that had it, running or not', async () => {
    const first = await another({ seconds: 60 });
    const { request_id: requestId } = await submitted(first);
    await until('it runs', async () => falEvents(first, 'started').length === 1);
    await first.kill('SIGKILL');
    const second = await another({ dataDir: first.dataDir });
    const url = `${second.url}/fal-ai/flux/requests/${requestId}`;
    await until('it is completed', async () => (await callFal(`${url}/status`)).body['status'] === 'COMPLETED');
    expect((await callFal(url)).status).toBe(200);
    expect(falEvents(second, 'submitted')).toHaveLength(1);
  });
});

test('Without a key the answer is 401, with another one 403, and nothing is queued', async () => {
  const before = falEvents(fal, 'submitted').length;
  const post = { method: 'POST', body: PROMPT };
  expect((await callFal(`${fal.url}/${MODEL}`, { ...post, key: null })).status).toBe(401);
  expect((await callFal(`${fal.url}/${MODEL}`, { ...post, key: 'another' })).status).toBe(403);
  expect(falEvents(fal, 'submitted')).toHaveLength(before);
});

describe('A cancellation', () => {
  test('of one that waits and of one that runs is accepted, of one that is over or unknown is not', async () => {
    const busy = await another({ seconds: 60 });
    const running = await submitted(busy);
    const waiting = await submitted(busy);
    for (const { cancel_url: url } of [waiting, running]) {
      const answer = await callFal(url, { method: 'PUT' });
      expect(answer).toMatchObject({ status: 202, body: { status: 'CANCELLATION_REQUESTED' } });
    }
    expect(falEvents(busy, 'cancelled').map(({ phase }) => phase)).toEqual(['IN_QUEUE', 'IN_PROGRESS']);
    expect(falEvents(busy, 'started')).toHaveLength(1);
    const again = await callFal(running.cancel_url, { method: 'PUT' });
    expect(again).toMatchObject({ status: 400, body: { status: 'ALREADY_COMPLETED' } });
    expect((await callFal(`${busy.url}/fal-ai/flux/requests/x/cancel`, { method: 'PUT' })).status).toBe(404);
    expect((await callFal(running.response_url)).body).toMatchObject({ error_type: 'client_cancelled' });
  });
});

describe('A fault', () => {
  test('error_in_completed: the status is COMPLETED and carries the error', async () => {
    await armFal(fal, { kind: 'error_in_completed', errorType: 'runner_disconnected' });
    const { addresses, status } = await completed(fal);
    expect(status.body).toMatchObject({ error_type: 'runner_disconnected' });
    const result = await callFal(addresses.response_url);
    expect(result.headers.get('x-fal-error-type')).toBe('runner_disconnected');
    expect(result).toMatchObject({ status: 500, body: { error_type: 'runner_disconnected' } });
  });

  test('422: the status is COMPLETED as if nothing had happened, the result is a list of faults', async () => {
    await armFal(fal, { kind: '422', detailType: 'face_detection_error', field: 'image_url' });
    const { addresses, status } = await completed(fal);
    expect(status.body).not.toHaveProperty('error');
    expect(await callFal(addresses.response_url)).toMatchObject({
      status: 422,
      body: { detail: [{ type: 'face_detection_error', loc: ['body', 'image_url'] }] },
    });
  });

  test('429 and 5xx happen so many times, to the call that was named, and queue nothing', async () => {
    await armFal(fal, { kind: '429', count: 2, on: 'submit', retryAfterSeconds: 3 });
    await armFal(fal, { kind: '5xx', status: 502, on: 'status' });
    const before = falEvents(fal, 'submitted').length;
    for (let call = 0; call < 2; call += 1) {
      const answer = await callFal(`${fal.url}/${MODEL}`, { method: 'POST', body: PROMPT });
      expect(answer.status).toBe(429);
      expect(answer.headers.get('retry-after')).toBe('3');
    }
    expect(falEvents(fal, 'submitted')).toHaveLength(before);
    const { status_url: url } = await submitted(fal);
    expect((await callFal(url)).status).toBe(502);
    expect([200, 202]).toContain((await callFal(url)).status);
  });

  test('lost_answer: the request is queued and the connection ends without an answer', async () => {
    await armFal(fal, { kind: 'lost_answer' });
    const before = falEvents(fal, 'submitted').length;
    await expect(callFal(`${fal.url}/${MODEL}`, { method: 'POST', body: PROMPT })).rejects.toThrow('fetch failed');
    expect(falEvents(fal, 'submitted')).toHaveLength(before + 1);
  });

  test('hang: the request stays IN_PROGRESS until it is cancelled', async () => {
    const hanging = await another();
    await armFal(hanging, { kind: 'hang' });
    const { status_url: url, cancel_url: cancelUrl } = await submitted(hanging);
    await until('it runs', async () => (await callFal(url)).body['status'] === 'IN_PROGRESS');
    await callFal(cancelUrl, { method: 'PUT' });
    expect((await callFal(url)).body).toMatchObject({ status: 'COMPLETED', error_type: 'client_cancelled' });
    await completed(hanging); // its runner is free again
  });

  test.each(['truncated', 'empty', 'page', 'missing', 'cut'])('bad_file: %s', async (file) => {
    const { addresses } = await completed(fal);
    const { body } = await callFal(addresses.response_url);
    const [image] = body['images'] as { url: string; file_size: number }[];
    await armFal(fal, { kind: 'bad_file', file });
    const fetched = fetch(image?.url ?? '').then(async (answer) => (await answer.arrayBuffer()).byteLength);
    if (file === 'cut') await expect(fetched).rejects.toThrow();
    else expect(await fetched).not.toBe(image?.file_size);
    expect(await (await fetch(image?.url ?? '')).arrayBuffer()).toHaveProperty('byteLength', image?.file_size);
  });

  test('of an unknown kind is refused', async () => {
    await expect(armFal(fal, { kind: 'earthquake' })).rejects.toThrow('kind must be one of');
  });
});

test('Options and every kind of fault are explained by --help', () => {
  const help = execFileSync(process.execPath, [FAL_MAIN, '--help']).toString();
  for (const name of ['--seconds', '--runners', SIMULATOR_KEY, '/simulator/journal', ...FAL_FAULT_KINDS])
    expect(help).toContain(name);
});
