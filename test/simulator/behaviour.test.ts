import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { journalIn, SIMULATOR_MAIN, startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess, SimulatorProcessOptions } from '../support/simulator-process.js';
import { call, EventSession } from './comfyui-client.js';
import type { HttpAnswer } from './comfyui-client.js';
import { emptyImage, node, segmented, textToImage } from './graphs.js';

const running: SimulatorProcess[] = [];
const sessions: EventSession[] = [];

let common: Promise<SimulatorProcess> | null = null;

afterAll(async () => {
  await (await common)?.stop();
});
afterEach(async () => {
  for (const session of sessions.splice(0)) session.close();
  await Promise.all(running.splice(0).map((simulator) => simulator.stop()));
});

async function started(options: SimulatorProcessOptions = {}): Promise<SimulatorProcess> {
  const simulator = await startSimulator(options);
  running.push(simulator);
  return simulator;
}

/** One simulator for tests that leave it healthy, given back without history, cache and faults. */
async function shared(): Promise<SimulatorProcess> {
  common ??= startSimulator();
  const simulator = await common;
  await call(`${simulator.url}/simulator/faults`, undefined, 'DELETE');
  await call(`${simulator.url}/history`, { clear: true });
  await call(`${simulator.url}/free`, { free_memory: true });
  return simulator;
}

async function connected(simulator: SimulatorProcess, clientId: string): Promise<EventSession> {
  const session = await EventSession.open(simulator.url, clientId);
  sessions.push(session);
  return session;
}

interface Run {
  readonly session: EventSession;
  readonly promptId: string;
}

/** Submits for a connected client. */
async function submitted(simulator: SimulatorProcess, prompt: object, more: object = {}): Promise<Run> {
  const session = await connected(simulator, `client-${sessions.length}`);
  const answer = await call(`${simulator.url}/prompt`, { prompt, client_id: `client-${sessions.length - 1}`, ...more });
  expect(answer.status).toBe(200);
  return { session, promptId: (answer.body as { prompt_id: string }).prompt_id };
}

async function finished(simulator: SimulatorProcess, prompt: object, more: object = {}): Promise<Run> {
  const run = await submitted(simulator, prompt, more);
  await run.session.untilOver(run.promptId);
  return run;
}

async function arm(simulator: SimulatorProcess, fault: object): Promise<void> {
  expect((await call(`${simulator.url}/simulator/faults`, fault)).status).toBe(201);
}

interface Entry {
  readonly outputs: Record<string, { images: { filename: string; subfolder: string; type: string }[] }>;
  readonly status: { status_str: string; messages: [string, Record<string, unknown>][] };
}

async function historyOf(simulator: SimulatorProcess, promptId: string): Promise<Entry> {
  const { body } = await call(`${simulator.url}/history/${promptId}`);
  const entry = (body as Record<string, Entry>)[promptId];
  if (entry === undefined) throw new Error(`${promptId} is not in the history`);
  return entry;
}

function cachedNodes(session: EventSession): unknown {
  return (session.ofType('execution_cached').at(-1)?.['nodes'] as string[] | undefined)?.toSorted();
}

async function pictureAt(simulator: SimulatorProcess, file: string): Promise<Buffer> {
  const response = await fetch(`${simulator.url}/view?filename=${file}`);
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer());
}

/** Asks until the answer is as wanted: REST has no event to wait for. */
async function eventually(ask: () => Promise<HttpAnswer>, isWanted: (answer: HttpAnswer) => boolean): Promise<void> {
  while (!isWanted(await ask())) await new Promise((resolve) => setImmediate(resolve));
}

function count(simulator: SimulatorProcess, event: string, promptId?: string): number {
  const entries = simulator.journal().filter((entry) => entry.event === event);
  return entries.filter((entry) => promptId === undefined || entry.promptId === promptId).length;
}

describe('pictures', () => {
  test('have the asked width, height and number', async () => {
    const simulator = await shared();
    const { promptId } = await finished(
      simulator,
      textToImage({ widthPx: 320, heightPx: 192, batchSize: 3, prefix: 'sized' }),
    );
    const files = (await historyOf(simulator, promptId)).outputs['9']?.images ?? [];
    expect(files.map((file) => file.filename)).toEqual(['sized_00001_.png', 'sized_00002_.png', 'sized_00003_.png']);
    for (const { filename } of files) {
      const { width, height, format } = await sharp(await pictureAt(simulator, filename)).metadata();
      expect({ width, height, format }).toEqual({ width: 320, height: 192, format: 'png' });
    }
  });

  test('are the same for the same request and differ with seed, text and place in the batch', async () => {
    const simulator = await started({ extraArgs: ['--cache', 'none'] });
    await finished(simulator, textToImage({ batchSize: 2, prefix: 'a' }));
    await finished(simulator, textToImage({ batchSize: 2, prefix: 'b' }));
    await finished(simulator, textToImage({ seed: 2, prefix: 'c' }));
    await finished(simulator, textToImage({ promptText: 'a <house> & "garden"\u0007', prefix: 'd' }));
    const pixels = async (file: string) =>
      (
        await sharp(await pictureAt(simulator, file))
          .raw()
          .toBuffer()
      ).toString('base64');
    const first = await pixels('a_00001_.png');
    expect(await pixels('b_00001_.png')).toBe(first);
    for (const other of ['a_00002_.png', 'c_00001_.png', 'd_00001_.png']) expect(await pixels(other)).not.toBe(first);
  });

  test('are the same whether sampled at once or in two segments', async () => {
    const simulator = await shared();
    await finished(simulator, segmented({ steps: 8, splitAt: 3, prefix: 'two' }));
    await finished(simulator, segmented({ steps: 8, splitAt: 6, prefix: 'other' }));
    const one = await sharp(await pictureAt(simulator, 'two_00001_.png'))
      .raw()
      .toBuffer();
    const two = await sharp(await pictureAt(simulator, 'other_00001_.png'))
      .raw()
      .toBuffer();
    expect(one.equals(two)).toBe(true);
  });

  test('carry their graph in a PNG text chunk', async () => {
    const simulator = await shared();
    await finished(simulator, emptyImage({ prefix: 'tagged' }), {
      extra_data: { extra_pnginfo: { workflow: { id: 'w' } } },
    });
    const bytes = await pictureAt(simulator, 'tagged_00001_.png');
    expect(bytes.includes('tEXtprompt\0{"1":{"class_type":"EmptyImage"')).toBe(true);
    expect(bytes.includes('tEXtworkflow\0{"id":"w"}')).toBe(true);
  });

  test('are loaded, scaled and inverted from an upload', async () => {
    const simulator = await shared();
    const png = await sharp({ create: { width: 10, height: 20, channels: 3, background: '#ff0000' } })
      .png()
      .toBuffer();
    const form = new FormData();
    form.set('image', new Blob([new Uint8Array(png)]), 'red.png');
    form.set('subfolder', 'in');
    expect((await call(`${simulator.url}/upload/image`, form)).body).toEqual({
      name: 'red.png',
      subfolder: 'in',
      type: 'input',
    });
    const scale = { upscale_method: 'area', width: 40, height: 0, crop: 'disabled' };
    await finished(simulator, {
      '1': node('LoadImage', { image: 'in/red.png' }),
      '2': node('ImageScale', { image: ['1', 0], ...scale }),
      '3': node('ImageInvert', { image: ['2', 0] }),
      '4': node('SaveImage', { images: ['3', 0], filename_prefix: 'x' }),
    });
    const { data, info } = await sharp(await pictureAt(simulator, 'x_00001_.png'))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, data[0], data[1], data[2]]).toEqual([40, 80, 0, 255, 255]);
  });

  test('cannot be saved outside the output folder', async () => {
    const simulator = await shared();
    const { promptId, session } = await finished(simulator, emptyImage({ prefix: '../../escape' }));
    expect(session.ofType('execution_error')[0]).toMatchObject({ exception_type: 'Exception', node_type: 'SaveImage' });
    const error = (await historyOf(simulator, promptId)).status.messages.at(-1)?.[1];
    expect(error?.['exception_message']).toMatch(
      /^\*\*\*\* ERROR: Saving image outside the output folder is not allowed\./,
    );
  });
});

describe('the node cache', () => {
  test('keeps what finished before an interrupt, so a second attempt resumes at the sampler', async () => {
    const slow = await started({ secondsPerStep: 0.02 });
    const first = await submitted(slow, textToImage({ steps: 1000 }));
    await first.session.untilEvent('progress');
    await call(`${slow.url}/api/interrupt`, { prompt_id: first.promptId });
    await first.session.untilOver(first.promptId);
    const again = await submitted(slow, textToImage({ steps: 1000 }));
    await again.session.untilEvent('progress');
    expect(cachedNodes(again.session)).toEqual(['4', '5', '6', '7']);
    expect(again.session.ofType('executing')[0]).toMatchObject({ node: '3' });
  });

  test('of the classic kind forgets what the latest prompt did not refer to', async () => {
    const simulator = await shared();
    await finished(simulator, textToImage());
    await finished(simulator, emptyImage());
    const { session } = await finished(simulator, textToImage());
    expect(cachedNodes(session)).toEqual([]);
  });

  test.each(['lru', 'ram'])('of the %s kind remembers older prompts', async (kind) => {
    const simulator = await started({ extraArgs: ['--cache', kind] });
    await finished(simulator, textToImage());
    await finished(simulator, emptyImage());
    const { session } = await finished(simulator, textToImage());
    expect(cachedNodes(session)).toEqual(['3', '4', '5', '6', '7', '8', '9']);
  });

  test('of the none kind runs everything again and writes another file', async () => {
    const simulator = await started({ extraArgs: ['--cache', 'none'] });
    await finished(simulator, emptyImage());
    const { promptId } = await finished(simulator, emptyImage());
    expect((await historyOf(simulator, promptId)).outputs['2']?.images[0]?.filename).toBe('e_00002_.png');
  });

  test('does not care for node ids, and repeats only the save node under a new prefix', async () => {
    const simulator = await shared();
    await finished(simulator, emptyImage());
    const { session } = await finished(simulator, {
      '71': node('EmptyImage', { color: 255, batch_size: 1, height: 16, width: 16 }),
      '72': node('SaveImage', { filename_prefix: 'other', images: ['71', 0] }),
    });
    expect(cachedNodes(session)).toEqual(['71']);
    expect(session.ofType('executed')).toHaveLength(1);
  });

  test('is discarded by free_memory and kept by unload_models', async () => {
    const simulator = await shared();
    await finished(simulator, emptyImage());
    expect((await call(`${simulator.url}/free`, { unload_models: true })).text).toBe('');
    expect(cachedNodes((await finished(simulator, emptyImage())).session)).toEqual(['1', '2']);
    await call(`${simulator.url}/free`, { free_memory: true });
    expect(cachedNodes((await finished(simulator, emptyImage())).session)).toEqual([]);
    expect((await call(`${simulator.url}/free`, '', 'POST')).status).toBe(500);
  });

  test('leaves outputs empty for a repeated prompt without a client', async () => {
    const simulator = await shared();
    await finished(simulator, emptyImage());
    const watcher = await connected(simulator, 'watcher');
    const { body } = await call(`${simulator.url}/prompt`, { prompt: emptyImage() });
    const { prompt_id: promptId } = body as { prompt_id: string };
    await watcher.untilEvent('progress_state', (data) => data['prompt_id'] === promptId); // broadcast without a client
    await eventually(
      () => call(`${simulator.url}/api/jobs/${promptId}`),
      (job) => job.text.includes('completed'),
    );
    expect((await historyOf(simulator, promptId)).outputs).toEqual({});
    expect(watcher.ofType('execution_success')).toEqual([]);
  });
});

describe('the queue', () => {
  test('runs the same id twice and keeps the later history', async () => {
    const simulator = await shared();
    const more = { prompt_id: 'same' };
    await finished(simulator, emptyImage(), more);
    const before = (await historyOf(simulator, 'same')).status.messages;
    await finished(simulator, emptyImage({ widthPx: 17 }), more);
    const after = (await historyOf(simulator, 'same')).status.messages;
    expect(after).not.toEqual(before);
    expect(Object.keys((await call(`${simulator.url}/history`)).body as object)).toEqual(['same']);
    expect(count(simulator, 'rendering_started', 'same')).toBe(2);
  });

  test('answers 500 to the same id with the same number, and queues it all the same', async () => {
    const simulator = await started();
    await arm(simulator, { kind: 'hang', nodeType: 'EmptyImage' });
    await submitted(simulator, emptyImage());
    const body = { prompt: emptyImage(), prompt_id: 'twin', number: 5 };
    expect((await call(`${simulator.url}/prompt`, body)).status).toBe(200);
    const second = await call(`${simulator.url}/prompt`, body);
    expect([second.status, second.text]).toEqual([500, '500 Internal Server Error\n\nServer got itself in trouble']);
    const queue = (await call(`${simulator.url}/queue`)).body as { queue_pending: unknown[][] };
    expect(queue.queue_pending.map((item) => item[1])).toEqual(['twin', 'twin']);
  });

  test('runs by number, front first, and counts rejected prompts', async () => {
    const simulator = await started({ secondsPerStep: 0.01 });
    const session = await connected(simulator, 'c');
    await call(`${simulator.url}/prompt`, {
      prompt: textToImage({ steps: 10_000 }),
      prompt_id: 'first',
      client_id: 'c',
    });
    await call(`${simulator.url}/prompt`, { prompt: {} });
    const late = await call(`${simulator.url}/prompt`, { prompt: emptyImage(), prompt_id: 'late', client_id: 'c' });
    expect((late.body as { number: number }).number).toBe(2);
    await call(`${simulator.url}/prompt`, { prompt: emptyImage(), prompt_id: 'one', number: '1', client_id: 'c' });
    await call(`${simulator.url}/prompt`, { prompt: emptyImage(), prompt_id: 'front', front: true, client_id: 'c' });
    await call(`${simulator.url}/interrupt`, {});
    await session.untilOver('late');
    expect(session.ofType('execution_start').map((data) => data['prompt_id'])).toEqual([
      'first',
      'front',
      'one',
      'late',
    ]);
  });

  test('forgets a deleted pending prompt without a trace and ignores a running one', async () => {
    const simulator = await started();
    await arm(simulator, { kind: 'hang', nodeType: 'EmptyImage' });
    const { promptId } = await submitted(simulator, emptyImage());
    await call(`${simulator.url}/prompt`, { prompt: emptyImage(), prompt_id: 'pending' });
    const answer = await call(`${simulator.url}/queue`, { delete: ['pending', promptId, 'unknown'] });
    expect([answer.status, answer.text, answer.headers.get('content-type')]).toEqual([200, '', null]);
    expect((await call(`${simulator.url}/api/jobs/pending`)).status).toBe(404);
    expect((await call(`${simulator.url}/api/jobs/${promptId}`)).body).toMatchObject({ status: 'in_progress' });
    expect((await call(`${simulator.url}/prompt`)).body).toEqual({ exec_info: { queue_remaining: 1 } });
  });

  test('takes a prompt with one faulty branch and says so in node_errors', async () => {
    const simulator = await shared();
    const faulty = { '8': node('EmptyImage', { width: 0, height: 1, batch_size: 1, color: 0 }) };
    const prompt = { ...emptyImage(), ...faulty, '9': node('SaveImage', { filename_prefix: 'x', images: ['8', 0] }) };
    const answer = await call(`${simulator.url}/prompt`, { prompt, client_id: 'c' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      node_errors: { '8': { dependent_outputs: ['9'], errors: [{ type: 'value_smaller_than_min' }] } },
    });
  });

  test('validates only the outputs asked for', async () => {
    const simulator = await shared();
    const prompt = { ...emptyImage(), '9': node('SaveImage', { filename_prefix: 'x', images: ['1', 0] }) };
    const { promptId } = await finished(simulator, prompt, { partial_execution_targets: ['9'] });
    expect(Object.keys((await historyOf(simulator, promptId)).outputs)).toEqual(['9']);
    const none = await call(`${simulator.url}/prompt`, { prompt, partial_execution_targets: ['1'] });
    expect(none.body).toMatchObject({ error: { type: 'prompt_no_outputs' } });
  });
});

describe('validation', () => {
  const errorOf = async (simulator: SimulatorProcess, prompt: object, nodeId: string) => {
    const { status, body } = await call(`${simulator.url}/prompt`, { prompt });
    expect(status).toBe(400);
    return (body as { node_errors: Record<string, { errors: { type: string; details: string }[] }> }).node_errors[
      nodeId
    ]?.errors[0];
  };
  const image = (inputs: object) => ({
    ...emptyImage(),
    '1': node('EmptyImage', { width: 8, height: 8, batch_size: 1, color: 0, ...inputs }),
  });
  const save = (images: unknown) => ({ ...emptyImage(), '2': node('SaveImage', { filename_prefix: 'x', images }) });

  test('says what is wrong in the words of ComfyUI', async () => {
    const simulator = await shared();
    expect(await errorOf(simulator, image({ width: 'abc' }), '1')).toMatchObject({
      type: 'invalid_input_type',
      details: "width, abc, invalid literal for int() with base 10: 'abc'",
    });
    expect(await errorOf(simulator, image({ height: 99_999 }), '1')).toMatchObject({
      message: 'Value 99999 bigger than max of 16384',
    });
    expect(await errorOf(simulator, save(['1']), '2')).toMatchObject({ type: 'bad_linked_input' });
    expect(await errorOf(simulator, save(['77', 0]), '2')).toMatchObject({
      type: 'exception_during_validation',
      details: "'77'",
    });
    expect(await errorOf(simulator, save(['1', 5]), '2')).toMatchObject({ details: 'tuple index out of range' });
    const wrongType = { ...textToImage(), '9': node('SaveImage', { filename_prefix: 'x', images: ['6', 0] }) };
    expect(await errorOf(simulator, wrongType, '9')).toMatchObject({
      type: 'return_type_mismatch',
      details: 'images, received_type(CONDITIONING) mismatch input_type(IMAGE)',
    });
  });

  test('rejects the largest seed after a JavaScript client has rounded it', async () => {
    const simulator = await shared();
    expect(await errorOf(simulator, textToImage({ seed: 2 ** 64 }), '3')).toMatchObject({
      type: 'value_bigger_than_max',
    });
  });

  test('rejects a link cycle without naming a node', async () => {
    const simulator = await shared();
    const prompt = {
      '1': node('ImageInvert', { image: ['3', 0] }),
      '3': node('ImageInvert', { image: ['1', 0] }),
      '2': node('SaveImage', { filename_prefix: 'x', images: ['1', 0] }),
    };
    const { status, body } = await call(`${simulator.url}/prompt`, { prompt });
    expect([status, body]).toMatchObject([400, { error: { details: '' }, node_errors: {} }]);
  });

  test('coerces literals as Python does', async () => {
    const simulator = await shared();
    const { promptId } = await finished(simulator, image({ width: '7', height: 9.9 }));
    const history = (await call(`${simulator.url}/history/${promptId}`)).body;
    expect(history).toMatchObject({ [promptId]: { prompt: { 2: { '1': { inputs: { width: 7, height: 9 } } } } } });
  });
});

describe('an interrupt', () => {
  test('aimed at another prompt does nothing and answers the same', async () => {
    const simulator = await started({ secondsPerStep: 0.005 });
    const { session, promptId } = await submitted(simulator, textToImage({ steps: 10 }));
    await session.untilEvent('progress');
    const answer = await call(`${simulator.url}/interrupt`, { prompt_id: 'somebody else' });
    expect([answer.status, answer.text]).toEqual([200, '']);
    await session.untilOver(promptId);
    expect((await historyOf(simulator, promptId)).status.status_str).toBe('success');
  });

  test('sent while nothing runs is lost: the next prompt clears it', async () => {
    const simulator = await shared();
    await call(`${simulator.url}/interrupt`, '');
    const { promptId } = await finished(simulator, textToImage());
    expect((await historyOf(simulator, promptId)).status.status_str).toBe('success');
  });

  test('ends the running prompt as an error without an execution_error', async () => {
    const simulator = await started({ secondsPerStep: 0.005 });
    const { session, promptId } = await submitted(simulator, textToImage({ steps: 10_000 }));
    await session.untilEvent('progress');
    await call(`${simulator.url}/interrupt`, '');
    await session.untilOver(promptId);
    const { status, outputs } = await historyOf(simulator, promptId);
    expect(status.status_str).toBe('error');
    expect(status.messages.map(([event]) => event)).toEqual([
      'execution_start',
      'execution_cached',
      'execution_interrupted',
    ]);
    expect(outputs).toEqual({});
    expect((await call(`${simulator.url}/api/jobs/${promptId}`)).body).not.toHaveProperty('execution_error');
  });

  test('with a list as body is a fault of the client that shows as 500', async () => {
    const simulator = await shared();
    expect((await call(`${simulator.url}/interrupt`, [])).status).toBe(500);
  });
});

describe('a restart', () => {
  test('after SIGKILL loses queue, history, counter and temp files, and keeps outputs, inputs and journal', async () => {
    const simulator = await started();
    await finished(simulator, emptyImage(), { prompt_id: 'done' });
    await finished(simulator, { '1': emptyImage()['1'], '2': node('PreviewImage', { images: ['1', 0] }) });
    expect(readdirSync(join(simulator.dataDir, 'temp'))).toHaveLength(1);
    await arm(simulator, { kind: 'hang', nodeType: 'KSampler' });
    const { session } = await submitted(simulator, textToImage(), { prompt_id: 'running' });
    await call(`${simulator.url}/prompt`, { prompt: emptyImage(), prompt_id: 'pending' });
    expect(await simulator.kill('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
    expect(await session.closed).toBe(1006);
    await expect(call(`${simulator.url}/prompt`)).rejects.toThrow('fetch failed');

    const again = await started({ dataDir: simulator.dataDir, port: simulator.port });
    expect((await call(`${again.url}/queue`)).body).toEqual({ queue_running: [], queue_pending: [] });
    expect((await call(`${again.url}/history`)).body).toEqual({});
    expect((await call(`${again.url}/api/jobs/running`)).status).toBe(404);
    expect(readdirSync(join(again.dataDir, 'temp'))).toEqual([]);
    expect((await pictureAt(again, 'e_00001_.png')).length).toBeGreaterThan(0);
    const { body } = await call(`${again.url}/prompt`, { prompt: emptyImage(), client_id: 'c' });
    expect(body).toMatchObject({ number: 0 });
    expect(count(again, 'started')).toBe(2);
    expect(count(again, 'prompt_received', 'pending')).toBe(1);
    expect(count(again, 'rendering_started', 'pending')).toBe(0);
  });

  test('by SIGTERM ends with 0 within a second while a node is busy, without a close frame', async () => {
    const simulator = await started({ secondsPerStep: 60 });
    const { session } = await submitted(simulator, textToImage());
    await session.untilEvent('executing', (data) => data['node'] === '3');
    const before = performance.now();
    expect(await simulator.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(performance.now() - before).toBeLessThan(1000);
    expect(await session.closed).toBe(1006);
  });

  test('is not needed for a simulator whose parent died: it ends, too', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'comfyui-simulator-'));
    const script = `
      const child = require('node:child_process').fork(process.argv[1], ['--port', '0', '--data-dir', process.argv[2]], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
      child.once('message', () => process.kill(process.pid, 'SIGKILL'));`;
    const parent = spawn(process.execPath, ['-e', script, SIMULATOR_MAIN, dataDir], { stdio: 'ignore' });
    await new Promise((resolve) => parent.once('exit', resolve));
    const pid = Number(journalIn(dataDir)[0]?.['pid']);
    expect(pid).toBeGreaterThan(0);
    while (existsSync(`/proc/${pid}/fd/0`)) await new Promise((resolve) => setImmediate(resolve));
    rmSync(dataDir, { recursive: true, force: true });
  });
});

describe('a WebSocket client', () => {
  test('that reconnects is told the running node, without its prompt, and nothing it missed', async () => {
    const simulator = await started();
    await arm(simulator, { kind: 'hang', nodeType: 'KSampler' });
    const { session } = await submitted(simulator, textToImage());
    await session.untilEvent('executing', (data) => data['node'] === '3');
    const again = await connected(simulator, 'client-0');
    await again.untilEvent('executing');
    expect(again.events.map(({ type }) => type)).toEqual(['status', 'executing']);
    expect(again.ofType('executing')).toEqual([{ node: '3' }]);
  });

  test('hears nothing any more once the old socket of its id has ended', async () => {
    const simulator = await shared();
    const old = await connected(simulator, 'same');
    const renewed = await connected(simulator, 'same');
    const other = await connected(simulator, 'other');
    old.close();
    const heardBefore = () => renewed.events.length;
    for (let heard = -1; heard !== heardBefore();) {
      heard = heardBefore(); // until the server has noticed that the old socket is gone
      const { body } = await call(`${simulator.url}/prompt`, { prompt: emptyImage(), client_id: 'other' });
      await other.untilOver((body as { prompt_id: string }).prompt_id);
    }
    expect(other.events.length).toBeGreaterThan(heardBefore());
    expect(renewed.ofType('status')[0]).toHaveProperty('sid', 'same');
  });

  test('gets previews with metadata after negotiating, plain ones when the prompt asks, else none', async () => {
    const simulator = await started({ secondsPerStep: 0.001 });
    const session = await connected(simulator, 'flags');
    session.send({ type: 'feature_flags', data: { supports_preview_metadata: true } });
    await session.untilEvent('feature_flags');
    const { body } = await call(`${simulator.url}/prompt`, {
      prompt: textToImage(),
      prompt_id: 'flagged',
      client_id: 'flags',
    });
    await session.untilOver((body as { prompt_id: string }).prompt_id);
    const frame = session.frames[0] ?? Buffer.alloc(8);
    expect(frame.readUInt32BE(0)).toBe(4);
    const metadata: unknown = JSON.parse(frame.subarray(8, 8 + frame.readUInt32BE(4)).toString());
    expect(metadata).toMatchObject({ node_id: '3', prompt_id: 'flagged', image_type: 'image/jpeg' });
    expect((await sharp(frame.subarray(8 + frame.readUInt32BE(4))).metadata()).format).toBe('jpeg');

    const asking = await finished(simulator, textToImage({ seed: 2 }), { extra_data: { preview_method: 'auto' } });
    expect(asking.session.frames.map((each) => [each.readUInt32BE(0), each.readUInt32BE(4)])).toEqual([[1, 1]]);
    const silent = await finished(simulator, textToImage({ seed: 3 }));
    expect(silent.session.frames).toEqual([]);
  });

  test('gets the text of a node in a frame of type 3', async () => {
    const simulator = await shared();
    const { session, promptId } = await finished(simulator, {
      '1': emptyImage()['1'],
      '5': node('GetImageSize', { image: ['1', 0] }),
      '6': node('PreviewAny', { source: ['5', 0] }),
    });
    const frame = session.frames[0] ?? Buffer.alloc(8);
    expect([frame.readUInt32BE(0), frame.subarray(8).toString()]).toEqual([
      3,
      '5width: 16, height: 16\n batch size: 1',
    ]);
    expect((await historyOf(simulator, promptId)).outputs).toEqual({ '6': { text: ['16'] } });
  });
});

describe('the journal', () => {
  test('counts one request, one rendering and each node of a prompt', async () => {
    const simulator = await shared();
    const { promptId } = await finished(simulator, textToImage());
    const counts = ['prompt_received', 'prompt_queued', 'rendering_started', 'rendering_finished', 'node_executed'];
    expect(counts.map((event) => count(simulator, event, promptId))).toEqual([1, 1, 1, 1, 7]);
    expect(simulator.journal().at(-1)).toMatchObject({ event: 'rendering_finished', outcome: 'success' });
    const { text } = await call(`${simulator.url}/simulator/journal`);
    expect(text).toBe(readFileSync(join(simulator.dataDir, 'journal.jsonl'), 'utf8'));
  });
});

describe('a fault', () => {
  test('of kind crash kills the process at its node, or at its step', async () => {
    for (const fault of [{ nodeType: 'VAEDecode' }, { nodeType: 'KSampler', atStep: 2 }]) {
      const simulator = await started();
      await arm(simulator, { kind: 'crash', ...fault });
      const { session, promptId } = await submitted(simulator, textToImage());
      expect(await simulator.ended).toEqual({ code: null, signal: 'SIGKILL' });
      expect(await session.closed).toBe(1006);
      expect(session.ofType('progress')).toHaveLength(fault.atStep === undefined ? 4 : 1);
      expect(count(simulator, 'rendering_finished', promptId)).toBe(0);
    }
  });

  test('of kind hang keeps a prompt in progress, whatever is interrupted, while HTTP answers', async () => {
    const simulator = await started();
    await arm(simulator, { kind: 'hang', nodeType: 'VAEDecode' });
    const { session, promptId } = await submitted(simulator, textToImage());
    await session.untilEvent('executing', (data) => data['node'] === '8');
    expect((await call(`${simulator.url}/interrupt`, '')).status).toBe(200);
    await call(`${simulator.url}/prompt`, { prompt: emptyImage(), prompt_id: 'behind' });
    expect((await call(`${simulator.url}/api/jobs/${promptId}`)).body).toMatchObject({ status: 'in_progress' });
    expect((await call(`${simulator.url}/api/jobs/behind`)).body).toMatchObject({ status: 'pending' });
  });

  test('of kind slow stretches the steps of the node it names', async () => {
    const simulator = await started({ secondsPerStep: 0.001 });
    await arm(simulator, { kind: 'slow', nodeType: 'KSampler', factor: 100, count: 1 });
    const before = performance.now();
    await finished(simulator, textToImage({ steps: 2 }));
    expect(performance.now() - before).toBeGreaterThan(195);
  });

  test('of kind vanish takes a prompt out of the queue that never reaches the history', async () => {
    const simulator = await shared();
    await arm(simulator, { kind: 'vanish', promptId: 'gone' });
    await arm(simulator, { kind: 'vanish', nodeType: 'VAEDecode' });
    for (const [promptId, prompt] of [
      ['gone', emptyImage()],
      ['midway', textToImage()],
    ] as const) {
      await call(`${simulator.url}/prompt`, { prompt, prompt_id: promptId, client_id: 'c' });
    }
    await finished(simulator, emptyImage(), { prompt_id: 'kept' });
    expect(Object.keys((await call(`${simulator.url}/history`)).body as object)).toEqual(['kept']);
    for (const promptId of ['gone', 'midway']) {
      expect((await call(`${simulator.url}/api/jobs/${promptId}`)).status).toBe(404);
    }
  });

  test('that cannot be armed is refused with the reason, and all can be cleared', async () => {
    const simulator = await started();
    const refused = await call(`${simulator.url}/simulator/faults`, { kind: 'earthquake' });
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('kind must be one of: crash, hang,')]);
    await arm(simulator, { kind: 'hang' });
    await call(`${simulator.url}/simulator/faults`, undefined, 'DELETE');
    const { promptId } = await finished(simulator, emptyImage());
    expect((await historyOf(simulator, promptId)).status.status_str).toBe('success');
  });
});

describe('execution', () => {
  test('of a known class the simulator cannot run is an error that says so', async () => {
    const simulator = await shared();
    const { session } = await finished(simulator, {
      '1': emptyImage()['1'],
      '3': node('ImageBlur', { image: ['1', 0], blur_radius: 1, sigma: 1 }),
      '2': node('SaveImage', { filename_prefix: 'x', images: ['3', 0] }),
    });
    expect(session.ofType('execution_error')[0]).toMatchObject({
      exception_type: 'NotImplementedError',
      exception_message: 'The simulator cannot run ImageBlur\n',
      executed: ['1'],
    });
  });

  test('of an undeclared link to nowhere ends the only worker while HTTP goes on', async () => {
    const simulator = await started();
    const graph = emptyImage();
    const prompt = { ...graph, '1': node('EmptyImage', { ...graph['1'].inputs, undeclared: ['404', 0] }) };
    const { promptId } = await submitted(simulator, prompt);
    await eventually(
      () => call(`${simulator.url}/simulator/journal`),
      ({ text }) => text.includes('worker_died'),
    );
    expect((await call(`${simulator.url}/api/jobs/${promptId}`)).body).toMatchObject({ status: 'in_progress' });
    expect((await call(`${simulator.url}/prompt`, { prompt: graph, prompt_id: 'next' })).status).toBe(200);
  });

  test('resumes a saved latent in another prompt with the picture of an uninterrupted run', async () => {
    const simulator = await shared();
    const graph = segmented({ steps: 8, splitAt: 3, prefix: 'resumed' });
    const { promptId } = await finished(simulator, {
      ...graph,
      '9': node('SaveLatent', { samples: ['31', 0], filename_prefix: 'half' }),
    });
    const saved = (await historyOf(simulator, promptId)).outputs['9'] as unknown as { latents: { filename: string }[] };
    const name = saved.latents[0]?.filename ?? '';
    expect(name).toBe('half_00001_.latent');
    const form = new FormData();
    form.set('image', new Blob([new Uint8Array(readFileSync(join(simulator.dataDir, 'output', name)))]), name);
    await call(`${simulator.url}/upload/image`, form);
    await finished(simulator, { ...graph, '31': node('LoadLatent', { latent: name }) });
    await finished(simulator, segmented({ steps: 8, splitAt: 8, prefix: 'whole' }));
    const resumed = await sharp(await pictureAt(simulator, 'resumed_00001_.png'))
      .raw()
      .toBuffer();
    const whole = await sharp(await pictureAt(simulator, 'whole_00001_.png'))
      .raw()
      .toBuffer();
    expect(resumed.equals(whole)).toBe(true);
  });
});

describe('HTTP', () => {
  test('answers as aiohttp does to what it cannot take', async () => {
    const simulator = await started({ extraArgs: ['--max-upload-size', '0.01'] });
    const unknown = await call(`${simulator.url}/nope`);
    expect([unknown.status, unknown.text, unknown.headers.get('content-type')]).toEqual([
      404,
      '',
      'application/octet-stream',
    ]);
    // A path that is no route is looked for among the static files, which know GET and HEAD only.
    const posted = await call(`${simulator.url}/nope`, '', 'POST');
    expect([posted.status, posted.text]).toEqual([405, '405: Method Not Allowed']);
    const method = await call(`${simulator.url}/prompt`, '', 'PUT');
    expect([method.status, method.text]).toEqual([405, '405: Method Not Allowed']);
    expect((await call(`${simulator.url}/jobs/x`)).status).toBe(404);
    expect((await call(`${simulator.url}/api/jobs?status=foo`)).body).toEqual({
      error: 'Invalid status value(s): foo. Valid values: pending, in_progress, completed, failed',
    });
    const big = await call(`${simulator.url}/prompt`, 'x'.repeat(20_000));
    expect([big.status, big.text]).toEqual([413, 'Maximum request body size 10485.76 exceeded.']);
    for (const body of [
      '{',
      '[]',
      '{"prompt":null}',
      '{"prompt":{},"number":"x"}',
      '{"prompt":{},"extra_data":null}',
    ]) {
      expect([body, (await call(`${simulator.url}/prompt`, body)).status]).toEqual([body, 500]);
    }
    expect((await call(`${simulator.url}/history?max_items=x`)).status).toBe(500);
    expect((await call(`${simulator.url}/ws`)).status).toBe(400);
  });

  test('renames another upload of the same name, and keeps the name for the same content', async () => {
    const simulator = await shared();
    const upload = async (content: string, more: Record<string, string> = {}) => {
      const form = new FormData();
      form.set('image', new Blob([content]), 'a.png');
      for (const [name, value] of Object.entries(more)) form.set(name, value);
      return call(`${simulator.url}/upload/image`, form);
    };
    expect((await upload('1')).body).toMatchObject({ name: 'a.png' });
    expect((await upload('1')).body).toMatchObject({ name: 'a.png' });
    expect((await upload('2')).body).toMatchObject({ name: 'a (1).png' });
    expect((await upload('3', { overwrite: 'True' })).body).toMatchObject({ name: 'a (2).png' });
    expect((await upload('4', { overwrite: 'true' })).body).toMatchObject({ name: 'a.png' });
    expect((await upload('5', { subfolder: '../..' })).status).toBe(400);
    expect((await upload('6', { type: 'nowhere' })).status).toBe(500);
    expect((await call(`${simulator.url}/upload/image`, new FormData())).status).toBe(400);
  });

  test('serves parts, previews and other folders of files, and refuses to leave them', async () => {
    const simulator = await shared();
    await finished(simulator, emptyImage({ prefix: 'sub/part' }));
    const view = `${simulator.url}/view?filename=part_00001_.png`;
    const part = await fetch(`${view}&subfolder=sub`, { headers: { range: 'bytes=0-3' } });
    expect([part.status, (await part.arrayBuffer()).byteLength]).toEqual([206, 4]);
    expect((await fetch(`${view}&subfolder=sub&preview=webp;50`)).headers.get('content-type')).toBe('image/webp');
    const statusOf = async (query: string) => (await call(`${simulator.url}/view?${query}`)).status;
    expect(await statusOf('filename=part_00001_.png&subfolder=../..')).toBe(403);
    expect(await statusOf('filename=')).toBe(400);
    expect(await statusOf('filename=/etc/passwd')).toBe(400);
    expect(await statusOf('filename=a.png&type=nowhere')).toBe(400);
    expect(await statusOf('filename=part_00001_.png')).toBe(404);
    expect(await statusOf('')).toBe(404);
    rmSync(join(simulator.dataDir, 'output', 'sub', 'part_00001_.png'));
    expect(await statusOf('filename=part_00001_.png&subfolder=sub')).toBe(404);
  });
});

describe('the command line', () => {
  // Not with spawnSync: while that blocks, the shared simulator closes connections that fetch then takes for open.
  const ran = async (args: readonly string[]) => {
    const child = spawn(process.execPath, [SIMULATOR_MAIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { status, stderr };
  };

  test.each([
    [['--port', 'x'], '--port is "x", but must be a number from 0 to 65535'],
    [['--cache', 'big'], '--cache is "big", but must be one of: default, classic, lru, ram, none'],
    [['--version', '0.9'], '--version is "0.9", but must be one of: 0.3.57, 0.8.0, 0.38.1'],
    [['--cache', 'ram', '--version', '0.3.57'], 'ComfyUI 0.3.57 has no such cache'],
    [['--seconds-per-step', '-1'], '--seconds-per-step'],
    [['--colour', 'red'], "Unknown option '--colour'"],
  ])('%j is refused with the option and what is allowed', async (args, message) => {
    const { status, stderr } = await ran(args);
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test('a taken port is said to be taken', async () => {
    const simulator = await shared();
    const { status, stderr } = await ran(['--port', String(simulator.port), '--data-dir', simulator.dataDir]);
    expect([status, stderr]).toEqual([1, expect.stringContaining('port is already in use')]);
  });
});
