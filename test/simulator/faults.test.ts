import { execFileSync } from 'node:child_process';
import { afterEach, describe, expect, test } from '@jest/globals';
import WebSocket from 'ws';
import { FAULT_KINDS } from '../../infra/simulators/comfyui/faults/fault-kinds.js';
import { FaultSchedule } from '../../infra/simulators/comfyui/faults/fault-schedule.js';
import { simulatorOptionsFrom } from '../../infra/simulators/comfyui/options.js';
import { SIMULATOR_MAIN, startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcessOptions } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { call, EventSession } from './comfyui-client.js';
import { benchOn, sharedBench } from './fault-bench.js';
import type { FaultBench } from './fault-bench.js';
import { emptyImage, node, textToImage } from './graphs.js';

const comfy = sharedBench();
const own: FaultBench[] = [];

afterEach(async () => {
  await Promise.all(own.splice(0).map(async (bench) => bench.process.stop()));
});

/** For a fault that the process does not survive. */
async function ownBench(options: SimulatorProcessOptions = {}): Promise<FaultBench> {
  const bench = benchOn(await startSimulator(options));
  own.push(bench);
  return bench;
}

const MODEL = 'v1-5-pruned-emaonly.safetensors';

describe('an exception of a node', () => {
  test.each([
    [
      { kind: 'oom' },
      'CLIPTextEncode',
      'torch.OutOfMemoryError',
      'Allocation on device 0 would exceed allowed memory. (out of memory)\nCurrently allocated',
    ],
    [
      { kind: 'oom', text: 'cuda', nodeType: 'KSampler', atStep: 2 },
      'KSampler',
      'torch.cuda.OutOfMemoryError',
      'CUDA out of memory. Tried to allocate',
    ],
    [
      { kind: 'oom', text: 'driver', nodeType: 'VAEDecode' },
      'VAEDecode',
      'torch.AcceleratorError',
      'CUDA error: out of memory',
    ],
    [
      { kind: 'host_oom' },
      'CheckpointLoaderSimple',
      'RuntimeError',
      '[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory',
    ],
    [
      { kind: 'environment' },
      'CLIPTextEncode',
      'RuntimeError',
      'CUDA error: no kernel image is available for execution on the device',
    ],
    [
      { kind: 'model_corrupt' },
      'CheckpointLoaderSimple',
      'safetensors_rust.SafetensorError',
      'Error while deserializing header',
    ],
    [{ kind: 'no_face', nodeType: 'VAEDecode' }, 'VAEDecode', 'Exception', 'InsightFace: No face detected.'],
    [{ kind: 'disk_full' }, 'SaveImage', 'OSError', '[Errno 28] No space left on device'],
    [
      { kind: 'node_error', exceptionType: 'KeyError', exceptionMessage: "'x'", nodeType: ['A', 'VAEDecode'] },
      'VAEDecode',
      'KeyError',
      "'x'",
    ],
  ])('%j is told by event and history, once, and then no more', async (...[fault, nodeType, type, text]) => {
    await comfy.arm(fault);
    const { entry, error, promptId } = await comfy.run(textToImage());
    expect(error).toEqual({ node: nodeType, type, message: expect.stringContaining(text) });
    expect(entry?.status.status_str).toBe('error');
    expect(entry?.status.messages.at(-1)).toEqual([
      'execution_error',
      expect.objectContaining({ exception_type: type }),
    ]);
    expect(comfy.journal('fault')).toEqual([expect.objectContaining({ kind: fault.kind, promptId, nodeType })]);
    expect((await comfy.run(textToImage())).entry?.status.status_str).toBe('success');
  });

  test('fires as often as it was told to, only at the prompt it names', async () => {
    await comfy.arm({ kind: 'oom', count: 2, nodeType: 'KSampler' });
    await comfy.arm({ kind: 'no_face', promptId: 'named' });
    const ended = [];
    for (const id of ['a', 'b', 'c', 'named', 'd'])
      ended.push((await comfy.run(textToImage({ prefix: id }), { prompt_id: id })).error?.type);
    expect(ended).toEqual(['torch.OutOfMemoryError', 'torch.OutOfMemoryError', undefined, 'Exception', undefined]);
  });

  test('of the allocator carries tips, that of the driver does not', async () => {
    const messages = [];
    for (const text of ['torch', 'driver']) {
      await comfy.arm({ kind: 'oom', text });
      const { session } = await comfy.run(textToImage());
      messages.push(String(session.ofType('execution_error')[0]?.['exception_message']));
    }
    expect(messages[0]).toMatch(/\nThis error means you ran out of memory on your GPU\.\n\nTIPS: /);
    expect(messages[1]).not.toContain('TIPS');
  });

  test('leaves what finished before in the cache, which the journal tells apart', async () => {
    await comfy.arm({ kind: 'oom', nodeType: 'KSampler' });
    await comfy.run(textToImage());
    const { promptId } = await comfy.run(textToImage());
    const typesOf = (event: 'node_cached' | 'node_executed') =>
      comfy.journal(event, promptId).map((entry) => entry['nodeType']);
    expect(typesOf('node_cached')).toEqual([
      'CheckpointLoaderSimple',
      'EmptyLatentImage',
      'CLIPTextEncode',
      'CLIPTextEncode',
    ]);
    expect(typesOf('node_executed')).toEqual(['KSampler', 'VAEDecode', 'SaveImage']);
  });

  test('disk_full makes an upload a 500', async () => {
    await comfy.arm({ kind: 'disk_full' });
    const upload = async () => {
      const form = new FormData();
      form.set('image', new Blob(['x']), 'x.png');
      return (await call(`${comfy.url}/upload/image`, form)).status;
    };
    expect([await upload(), await upload()]).toEqual([500, 200]);
  });
});

describe('the memory of the card', () => {
  const big = { widthPx: 1024, heightPx: 1024 };
  const setVram = async (gib: number | null) => call(`${comfy.url}/simulator/vram`, { gib });

  test('limits sampling by batch, width and height, and decoding by width and height', async () => {
    await setVram(5.5); // exactly one picture of a megapixel: 4 + 1.5, and decoding it: 1 + 4
    expect((await comfy.run(textToImage(big))).entry?.status.status_str).toBe('success');
    expect((await comfy.run(textToImage({ ...big, batchSize: 2 }))).error).toMatchObject({
      node: 'KSampler',
      type: 'torch.OutOfMemoryError',
      message: expect.stringContaining('Device limit            : 5.50 GiB'),
    });
    expect(comfy.journal('fault')).toEqual([expect.objectContaining({ kind: 'oom', neededGib: 7, totalGib: 5.5 })]);
    expect((await comfy.run(textToImage({ ...big, heightPx: 1152 }))).error?.node).toBe('KSampler');
    expect((await comfy.run(textToImage({ widthPx: 512, heightPx: 512, batchSize: 4 }))).error).toBeNull();
    await setVram(null);
    expect((await comfy.run(textToImage({ ...big, batchSize: 2 }))).error).toBeNull();
  });

  test('is enough for a tiled decode where a whole one fails, and the sampling is not repeated', async () => {
    await setVram(7.4);
    const graph = textToImage({ widthPx: 1408, heightPx: 1216 }); // 1.63 megapixels: sampling 6.4, decoding 7.5
    expect((await comfy.run(graph)).error?.node).toBe('VAEDecode');
    const tiles = { tile_size: 512, overlap: 64, temporal_size: 64, temporal_overlap: 8 };
    const tiled = await comfy.run({
      ...graph,
      '8': node('VAEDecodeTiled', { samples: ['3', 0], vae: ['4', 2], ...tiles }),
    });
    expect(tiled.entry?.outputs['9']?.images).toHaveLength(1);
    expect(comfy.journal('node_executed', tiled.promptId).map((entry) => entry['nodeType'])).toEqual([
      'VAEDecodeTiled',
      'SaveImage',
    ]);
  });

  test.each(['unload_models', 'free_memory'])('that is held comes back by POST /free with %s', async (flag) => {
    await setVram(8);
    await comfy.arm({ kind: 'vram_held', gib: 4 });
    expect((await call(`${comfy.url}/simulator/vram`)).body).toEqual({ gib: 8, heldGib: 4 });
    expect((await comfy.run(textToImage(big))).error?.type).toBe('torch.OutOfMemoryError');
    expect((await comfy.run(textToImage(big))).error?.type).toBe('torch.OutOfMemoryError');
    await call(`${comfy.url}/free`, { [flag]: true });
    expect((await comfy.run(textToImage(big))).entry?.status.status_str).toBe('success');
    expect(comfy.journal('fault').map((entry) => entry['kind'])).toEqual(['vram_held', 'oom', 'oom']);
  });

  test('can be given at the start, shows in /system_stats, and is refused when it is no size', async () => {
    const small = await ownBench({ extraArgs: ['--vram-gib', '4.2', '--device', 'cuda'] });
    await small.arm({ kind: 'vram_held', gib: 1 });
    const { body } = await call(`${small.url}/system_stats`);
    const gib = 1024 ** 3;
    expect(body).toMatchObject({
      devices: [{ vram_total: Math.round(4.2 * gib), vram_free: Math.round(4.2 * gib) - gib }],
    });
    expect((await small.run(textToImage())).error?.node).toBe('KSampler');
    const refused = await call(`${small.url}/simulator/vram`, { gib: 'much' });
    expect([refused.status, refused.body]).toEqual([
      400,
      { error: 'gib must be a number from 0.1 to 10000, or null for always enough' },
    ]);
  });
});

describe('a card or worker that does not recover', () => {
  test('poison fails every prompt at its first GPU node, cached ones left out, until the process restarts', async () => {
    const bench = await ownBench();
    await bench.arm({ kind: 'poison', nodeType: 'KSampler' });
    const errors = [];
    for (const prompt of [textToImage(), textToImage({ seed: 2 }), textToImage({ promptText: 'else' })])
      errors.push((await bench.run(prompt)).error);
    const text = expect.stringContaining('CUDA error: an illegal memory access was encountered');
    expect(errors).toEqual(
      ['KSampler', 'KSampler', 'CLIPTextEncode'].map((each) => ({
        node: each,
        type: 'torch.AcceleratorError',
        message: text,
      })),
    );
    expect((await bench.run(emptyImage())).error).toBeNull();
    expect(bench.journal('fault')).toHaveLength(3);
    await bench.process.kill('SIGKILL');
    const again = await ownBench({ dataDir: bench.process.dataDir, port: bench.process.port });
    expect((await again.run(textToImage())).error).toBeNull();
  });

  test.each([
    [{ kind: 'zombie', nodeType: 'KSampler' }, [['first'], ['second']]],
    [{ kind: 'zombie', afterPrompt: true }, [[], ['second']]],
  ])('%j leaves a server that takes prompts and runs none', async (fault, queue) => {
    const bench = await ownBench();
    await bench.arm(fault);
    await bench.submit(textToImage(), { prompt_id: 'first' });
    await until('the worker is dead', async () => bench.journal('worker_died').length > 0);
    await bench.submit(textToImage(), { prompt_id: 'second' });
    expect((await call(`${bench.url}/interrupt`, {})).status).toBe(200);
    const { body } = await call(`${bench.url}/queue`);
    const { queue_running, queue_pending } = body as Record<string, unknown[][]>;
    expect([queue_running, queue_pending].map((items) => items?.map((item) => item[1]))).toEqual(queue);
    expect(bench.journal('rendering_started', 'second')).toEqual([]);
  });

  test('crash strikes while a text encoder is loaded, and not where none is', async () => {
    const loaders = ['CLIPLoader', 'DualCLIPLoader', 'CheckpointLoaderSimple'];
    const bench = await ownBench();
    await bench.arm({ kind: 'crash', nodeType: loaders, count: 1000 });
    expect((await bench.run(emptyImage())).error).toBeNull();
    const { promptId } = await bench.submit(textToImage());
    expect(await bench.process.ended).toEqual({ code: null, signal: 'SIGKILL' });
    expect(bench.journal('fault')).toEqual([
      expect.objectContaining({ kind: 'crash', promptId, nodeType: 'CheckpointLoaderSimple' }),
    ]);
  });
});

describe('a prompt that is not what it seems', () => {
  test('vanish takes it away for a while, and it is then rendered', async () => {
    await comfy.arm({ kind: 'vanish', promptId: 'away', returnsAfterMs: 100 });
    const { session } = await comfy.submit(emptyImage(), { prompt_id: 'away' });
    await until('it is gone', async () => comfy.journal('rendering_finished', 'away').length === 1);
    expect((await call(`${comfy.url}/api/jobs/away`)).status).toBe(404);
    await session.untilOver('away');
    expect((await call(`${comfy.url}/api/jobs/away`)).body).toMatchObject({ status: 'completed' });
    expect(comfy.journal('rendering_finished', 'away').map((entry) => entry['outcome'])).toEqual([
      'vanished',
      'success',
    ]);
  });

  test('evict_history takes its entry at once, or after a while', async () => {
    await comfy.arm({ kind: 'evict_history', promptId: 'now' });
    await comfy.arm({ kind: 'evict_history', promptId: 'later', afterMs: 50 });
    expect((await comfy.run(emptyImage(), { prompt_id: 'now' })).entry).toBeUndefined();
    await comfy.run(emptyImage({ prefix: 'l' }), { prompt_id: 'later' });
    await until('the other is gone, too', async () => comfy.journal('history_evicted', 'later').length === 1);
    expect((await call(`${comfy.url}/history`)).body).toEqual({});
    expect((await comfy.run(emptyImage(), { prompt_id: 'now' })).entry).toBeDefined();
  });

  test('blocked leaves out the outputs of its branch although the prompt succeeds', async () => {
    const graph = {
      ...textToImage(),
      '19': node('SaveImage', { filename_prefix: 'other', images: ['18', 0] }),
      '18': node('EmptyImage', { width: 8, height: 8, batch_size: 1, color: 1 }),
    };
    await comfy.arm({ kind: 'blocked', nodeType: 'VAEDecode', exceptionMessage: 'no picture today' });
    const { entry, error, promptId, session } = await comfy.run(graph);
    expect(error).toEqual({
      node: 'VAEDecode',
      type: 'ExecutionBlocked',
      message: 'Execution Blocked: no picture today',
    });
    expect(session.ofType('execution_error')).toHaveLength(1);
    expect(session.ofType('execution_success')).toHaveLength(1);
    expect(entry?.status.messages.map(([event]) => event)).toEqual([
      'execution_start',
      'execution_cached',
      'execution_success',
    ]);
    expect(Object.keys(entry?.outputs ?? {})).toEqual(['19']);
    expect(comfy.journal('node_executed', promptId).map((each) => each['nodeId'])).not.toContain('8');
    expect(Object.keys((await comfy.run(graph)).entry?.outputs ?? {}).sort()).toEqual(['19', '9']);
  });

  test('model_removed fails its loader after validation, and the next prompt in validation', async () => {
    await comfy.arm({ kind: 'model_removed', filename: MODEL });
    const { error } = await comfy.run(textToImage());
    expect(error).toEqual({
      node: 'CheckpointLoaderSimple',
      type: 'FileNotFoundError',
      message: `Model in folder 'checkpoints' with filename '${MODEL}' not found.`,
    });
    const told = await call(`${comfy.url}/object_info/CheckpointLoaderSimple`);
    expect(told.text).toContain('sd_xl_base_1.0.safetensors');
    expect(told.text).not.toContain(MODEL);
    expect((await call(`${comfy.url}/models/checkpoints`)).body).not.toContain(MODEL);
    const refused = await call(`${comfy.url}/prompt`, { prompt: textToImage() });
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('value_not_in_list')]);
    await call(`${comfy.url}/simulator/faults`, undefined, 'DELETE');
    expect((await comfy.run(textToImage())).error).toBeNull();
  });
});

describe('requests', () => {
  test.each([
    ['login_page', 200, 'text/html; charset=utf-8'],
    ['unauthorized', 401, 'text/plain; charset=utf-8'],
    ['forbidden', 403, 'text/plain; charset=utf-8'],
  ])('meet %s as often as it was told, on the path it names', async (kind, status, type) => {
    await comfy.arm({ kind, path: '/history', count: 2 });
    const ask = async (path: string) => {
      const answer = await call(`${comfy.url}${path}`);
      return [answer.status, answer.headers.get('content-type')];
    };
    expect(await ask('/queue')).toEqual([200, 'application/json; charset=utf-8']);
    expect(await ask('/history')).toEqual([status, type]);
    expect(await ask('/api/history/x')).toEqual([status, type]);
    expect(await ask('/history')).toEqual([200, 'application/json; charset=utf-8']);
    expect(comfy.journal('fault')).toEqual([
      expect.objectContaining({ kind, path: '/history', method: 'GET' }),
      expect.objectContaining({ kind, path: '/api/history/x' }),
    ]);
  });

  test('are refused for as long as was told, handshakes too', async () => {
    await comfy.arm({ kind: 'unauthorized', durationMs: 200 });
    expect((await call(`${comfy.url}/prompt`)).status).toBe(401);
    const refused = new EventSession(new WebSocket(`${comfy.url.replace('http', 'ws')}/ws?clientId=x`));
    expect(await refused.closed).toBe(1006);
    await until('the proxy lets through', async () => (await call(`${comfy.url}/prompt`)).status === 200);
    expect((await comfy.run(emptyImage())).error).toBeNull();
  });

  test('are slow one by one, or for a while, and the journal names them', async () => {
    await comfy.arm({ kind: 'slow_rest', delayMs: 150, path: '/queue', count: 1 });
    const took = async () => {
      const before = performance.now();
      await call(`${comfy.url}/queue`);
      return performance.now() - before;
    };
    expect(await took()).toBeGreaterThan(145);
    expect(comfy.journal('fault')).toHaveLength(1);
    await took();
    expect(comfy.journal('fault')).toHaveLength(1);
    await comfy.arm({ kind: 'slow_rest', delayMs: 1, durationMs: 3_600_000 });
    await took();
    await took();
    expect(comfy.journal('fault')).toHaveLength(3);
  });

  test('get graphs with a bare NaN, which no JSON parser takes', async () => {
    await comfy.arm({ kind: 'nan_json', path: '/history' });
    expect((await call(`${comfy.url}/history`)).body).toEqual({}); // without a graph there is nothing to spoil
    const { entry, promptId } = await comfy.run(emptyImage());
    expect(entry).toBeUndefined();
    await comfy.arm({ kind: 'nan_json', path: '/history' });
    const { text } = await call(`${comfy.url}/history/${promptId}`);
    expect(text).toContain('"is_changed":[NaN],"class_type":"EmptyImage"');
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
    expect((await call(`${comfy.url}/history/${promptId}`)).body).toHaveProperty([promptId]);
  });
});

describe('a WebSocket', () => {
  test('that stalls is silent while REST goes on, then gets everything in order at once', async () => {
    await comfy.arm({ kind: 'ws_stall', nodeType: 'KSampler', atStep: 2, durationMs: 3_600_000 });
    const { promptId, session } = await comfy.submit(textToImage());
    await until('REST tells the end', async () =>
      (await call(`${comfy.url}/api/jobs/${promptId}`)).text.includes('completed'),
    );
    expect(session.ofType('progress')).toHaveLength(1);
    expect(session.ofType('execution_success')).toEqual([]);
    await call(`${comfy.url}/simulator/faults`, undefined, 'DELETE');
    await session.untilOver(promptId);
    expect(session.ofType('progress').map((data) => data['value'])).toEqual([1, 2, 3, 4]);
  });

  test('that stalls at once greets all the same, and goes on after its time', async () => {
    await comfy.arm({ kind: 'ws_stall', durationMs: 100 });
    const { entry, session } = await comfy.run(emptyImage());
    expect(entry?.status.status_str).toBe('success');
    expect(session.events[0]).toMatchObject({ type: 'status', data: { sid: expect.any(String) } });
  });

  test('gets a burst of frames that belong to nobody, and then its own', async () => {
    await comfy.arm({ kind: 'ws_burst', nodeType: 'SaveImage', frames: 500 });
    const { session, entry } = await comfy.run(emptyImage());
    expect(session.ofType('crystools.monitor')).toHaveLength(500);
    expect(entry?.status.status_str).toBe('success');
  });
});

test('an outage resets every connection and refuses new ones, and the rendering goes on meanwhile', async () => {
  await comfy.arm({ kind: 'outage', nodeType: 'KSampler', durationMs: 300 });
  const { promptId, session } = await comfy.submit(textToImage());
  await until('it is refused', async () =>
    call(`${comfy.url}/prompt`).then(
      () => false,
      () => true,
    ),
  );
  const seen = await until('it is back', async () => call(`${comfy.url}/history/${promptId}`));
  expect(seen.body).toHaveProperty([promptId]);
  await expect(session.closed).resolves.toBe(1006);
});

describe('arming', () => {
  test.each([
    [{ kind: 'oom', text: 'rocm' }, 'text must be one of: torch, cuda, driver'],
    [{ kind: 'oom', gib: 1 }, 'oom has no field gib; it has: nodeType, promptId, atStep, count, text'],
    [{ kind: 'poison', count: 2 }, 'poison has no field count; it has: nodeType, promptId, atStep'],
    [{ kind: 'node_error', exceptionType: 'KeyError' }, 'node_error needs exceptionMessage: it must be a text'],
    [{ kind: 'crash', atStep: 0 }, 'atStep must be a whole number of at least 1'],
    [{ kind: 'crash', nodeType: [] }, 'nodeType must be the name of a class, or a list of names'],
    [{ kind: 'slow_rest', delayMs: -1 }, 'delayMs must be a number of milliseconds from 0 to 3600000'],
    [[], 'The body must be a JSON object'],
  ])('%j is refused with the reason', async (fault, error) => {
    const refused = await call(`${comfy.url}/simulator/faults`, fault);
    expect([refused.status, refused.body]).toEqual([400, { error }]);
    expect((await call(`${comfy.url}/simulator/faults`)).body).toEqual({ faults: [] });
  });
});

describe('a schedule', () => {
  const drawn = (seed: number, life: number) => {
    const schedule = new FaultSchedule({ seed, rate: 0.5, kinds: ['oom', 'no_face'] }, life);
    const faults = Array.from({ length: 12 }, (_, index) => schedule.next({ promptId: `p${index}` }));
    return faults.flatMap((fault) => (fault === null ? [] : [[fault.promptId, fault.kind]]));
  };

  test('meets the prompts with what the seed says, and after a restart with something else', async () => {
    const args = ['--fault-schedule', 'seed=7,rate=0.5,kinds=oom+no_face', '--cache', 'none'];
    const bench = await ownBench({ extraArgs: args });
    for (let index = 0; index < 12; index += 1) {
      await bench.run(textToImage({ steps: 1 }), { prompt_id: `p${index}` });
    }
    expect(bench.journal('fault').map(({ kind, promptId }) => [promptId, kind])).toEqual(drawn(7, 0));
    expect(drawn(7, 0).length).toBeGreaterThan(1);
    expect(drawn(7, 0).length).toBeLessThan(12);
    expect(drawn(8, 0)).not.toEqual(drawn(7, 0));
    expect(drawn(7, 1)).not.toEqual(drawn(7, 0));
  });

  test('and every kind of fault are explained by --help', () => {
    const help = execFileSync(process.execPath, [SIMULATOR_MAIN, '--help']).toString();
    for (const name of ['--fault-schedule', '--vram-gib', ...Object.keys(FAULT_KINDS)]) expect(help).toContain(name);
    expect(help).toMatch(/node_error .*count, exceptionType\*, exceptionMessage\*\)/);
    expect(help).toMatch(/blocked .*exceptionMessage, count\)/);
  });

  test.each([
    ['rate=2,kinds=oom', 'rate must be a number from 0 to 1'],
    ['kinds=oom+flood', 'kinds must be some of these, joined by +: crash, hang,'],
    ['sead=1,kinds=oom', '"sead" is none of: seed, rate, kinds'],
  ])('%s is refused with the reason', (text, reason) => {
    expect(() => simulatorOptionsFrom(['--fault-schedule', text])).toThrow(reason);
  });
});
