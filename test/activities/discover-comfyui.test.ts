import { afterEach, describe, expect, test } from '@jest/globals';
import { candidatesOf, discoverComfyUI, isOlder } from '../../activities/comfyui/discover-comfyui.js';
import { NoComfyUIError } from '../../activities/comfyui/errors.js';
import { comfyUITargetsFrom, DISCOVERY_PORTS } from '../../infra/runtime/comfyui-config.js';
import { backendAt, closeConnections } from './support/activity-world.js';
import { simulator, stopSimulators } from './support/simulators.js';
import { closeStubs, freePort, sendJson, sendPage, startStub, systemStats } from './support/stub-server.js';

const host = '127.0.0.1';
const on = (...ports: number[]) => ({ kind: 'discover', host, ports }) as const;
const comfyUI = (version = '0.8.0', device: object | null = null) =>
  startStub((_request, response) => sendJson(response, 200, systemStats(version, device)));

afterEach(async () => {
  await closeConnections();
  await Promise.all([stopSimulators(), closeStubs()]);
});

describe('Discovery', () => {
  test('R2.1 probes 8188, 7821, 8189 and 7860, in this order', () => {
    expect(DISCOVERY_PORTS).toEqual([8188, 7821, 8189, 7860]);
    const [target] = comfyUITargetsFrom({});
    expect(target).toEqual({ kind: 'discover', host, ports: DISCOVERY_PORTS });
  });

  test('R2.1 takes the first in the order that answers as ComfyUI, not the fastest', async () => {
    const slow = await startStub((_request, response) => {
      setTimeout(() => {
        sendJson(response, 200, systemStats('0.8.0'));
      }, 150);
    });
    const fast = await comfyUI('0.9.0');
    const found = await discoverComfyUI(on(await freePort(), slow.port, fast.port));
    expect(found.address.label).toBe(`${host}:${slow.port}`);
    expect(found.version).toBe('0.8.0');
  });

  test('R2.1 passes over what is no ComfyUI', async () => {
    const page = await startStub((_request, response) => sendPage(response));
    const real = await simulator();
    const found = await discoverComfyUI(on(page.port, real.port));
    expect(found.address.baseUrl).toBe(real.url);
    expect(found.device).toBe('cpu');
  });

  test('R2.1 a configured address replaces the probing', async () => {
    const other = await comfyUI();
    const configured = await freePort();
    const error = await discoverComfyUI({ kind: 'fixed', url: `http://${host}:${configured}` }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(NoComfyUIError);
    expect((error as NoComfyUIError).addresses).toEqual([
      { address: `${host}:${configured}`, said: 'connection refused' },
    ]);
    expect(other.requests).toEqual([]);
  });

  test('R2.2 when none answers, the error lists every address with what it said', async () => {
    const page = await startStub((_request, response) => sendPage(response));
    const login = await startStub((_request, response) => sendPage(response, 401));
    const old = await comfyUI('0.3.56');
    const resetting = await startStub((request) => request.socket.destroy());
    const nothing = await freePort();
    const error = (await discoverComfyUI(on(page.port, login.port, old.port, resetting.port, nothing)).catch(
      (reason: unknown) => reason,
    )) as NoComfyUIError;
    expect(error).toBeInstanceOf(NoComfyUIError);
    expect(error.addresses).toEqual([
      { address: `${host}:${page.port}`, said: 'answers 200, but not as a ComfyUI' },
      {
        address: `${host}:${login.port}`,
        said: 'answers 401, it wants other credentials: in COMFYUI_URL, or as COMFYUI_HEADERS',
      },
      { address: `${host}:${old.port}`, said: 'ComfyUI 0.3.56 is too old, 0.3.57 or newer is needed' },
      { address: `${host}:${resetting.port}`, said: 'connection reset' },
      { address: `${host}:${nothing}`, said: 'connection refused' },
    ]);
    for (const { address, said } of error.addresses) expect(error.message).toContain(`${address} (${said})`);
  });

  test('R2.2 an answer that never ends to grow is one more thing that is no ComfyUI', async () => {
    const flood = await startStub((_request, response) => {
      const chunk = Buffer.alloc(4 * 1024 * 1024, ' ');
      const send = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on('drain', send);
      send();
    });
    const nothing = await freePort();
    const error = (await discoverComfyUI(on(flood.port, nothing)).catch((reason: unknown) => reason)) as NoComfyUIError;
    expect(error).toBeInstanceOf(NoComfyUIError);
    expect(error.addresses.map(({ address }) => address)).toEqual([`${host}:${flood.port}`, `${host}:${nothing}`]);
  });

  test('names no credentials', async () => {
    const port = await freePort();
    const error = await discoverComfyUI({ kind: 'fixed', url: `http://me:secret@${host}:${port}/?token=hush` }).catch(
      (reason: unknown) => reason,
    );
    expect(String(error)).toContain(`${host}:${port}`);
    expect(String(error)).not.toMatch(/secret|hush/);
  });

  test('sends credentials and the query of the address with every request', async () => {
    const seen: (string | undefined)[] = [];
    const proxy = await startStub((request, response) => {
      seen.push(request.headers.authorization);
      sendJson(response, 200, systemStats('0.8.0'));
    });
    await discoverComfyUI({ kind: 'fixed', url: `http://me:p%40ss@${host}:${proxy.port}/comfy/?token=a%26b` });
    expect(proxy.requests).toEqual(['GET /comfy/api/system_stats?token=a%26b']);
    expect(seen).toEqual([`Basic ${Buffer.from('me:p@ss').toString('base64')}`]);
  });

  test.each([
    ['cuda', 'gpu'],
    ['mps', 'gpu'],
    ['cpu', 'cpu'],
  ])('R3.5 a device of type %s renders on its %s', async (type, expected) => {
    const server = await comfyUI('0.8.0', { name: `${type}:0`, type, vram_total: 25_769_803_776 });
    const found = await discoverComfyUI(on(server.port));
    expect(found).toMatchObject({ device: expected, deviceName: `${type}:0`, vramTotalBytes: 25_769_803_776 });
  });

  test.each([
    [[], 'gpu'],
    [['--lowvram'], 'low-vram'],
    [['--novram'], 'low-vram'],
    [['--cpu'], 'cpu'],
    [undefined, null],
  ])('R3.5 a ComfyUI that was started with %j is of the class %s', async (flags, hardware) => {
    const server = await startStub((_request, response) =>
      sendJson(response, 200, {
        system: { comfyui_version: '0.8.0', ...(flags !== undefined && { argv: ['main.py', ...flags] }) },
        devices: [{ name: 'cuda:0', type: 'cuda', vram_total: 8_589_934_592 }],
      }),
    );
    expect(await discoverComfyUI(on(server.port))).toMatchObject({
      ...{ hardware, device: hardware === 'cpu' ? 'cpu' : 'gpu', vramTotalBytes: 8_589_934_592 },
    });
  });

  test('the one GiB that every DirectML card is said to have is not believed', async () => {
    const server = await comfyUI('0.8.0', { name: 'directml', type: 'privateuseone', vram_total: 1_073_741_824 });
    expect(await discoverComfyUI(on(server.port))).toMatchObject({ device: 'gpu', vramTotalBytes: null });
  });

  test('the candidates of a host are its ports, of an address the address alone', () => {
    expect(candidatesOf(on(8188, 7821)).map(({ baseUrl }) => baseUrl)).toEqual([
      'http://127.0.0.1:8188',
      'http://127.0.0.1:7821',
    ]);
    expect(candidatesOf({ kind: 'fixed', url: 'https://a.example/x/' })).toHaveLength(1);
  });

  test.each([
    ['0.3.56', true],
    ['0.3.57', false],
    ['v0.3.57', false],
    ['0.3.100', false],
    ['0.8', false],
    ['0.3', true],
    ['1', false],
    ['unknown', true],
    ['0.3.57-12-gabc', false],
  ])('version %s is older than 0.3.57: %s', (version, expected) => {
    expect(isOlder(version, '0.3.57')).toBe(expected);
  });
});

describe('R2.3 A cached address', () => {
  test('serves every exchange while it answers, and is asked for once', async () => {
    const comfy = await simulator();
    const backend = backendAt(on(comfy.port));
    const clients = await Promise.all([backend.client(), backend.client(), backend.client()]);
    expect(new Set(clients).size).toBe(1);
    await expect(backend.use(async (client) => client.queueRemaining())).resolves.toBe(0);
    expect(backend.snapshot()).toMatchObject({ answers: [], hasAnsweredBefore: true });
  });

  test('does not outlive a failure: the next exchange finds ComfyUI where it is now', async () => {
    const first = await simulator();
    const second = await freePort();
    const backend = backendAt(on(first.port, second));
    await backend.client();
    await first.kill('SIGKILL');
    await expect(backend.use(async (client) => client.queueRemaining())).rejects.toThrow(/did not answer/);
    expect(backend.snapshot().found).toBeNull();
    const returned = await simulator({ port: second });
    await expect(backend.use(async (client) => client.queueRemaining())).resolves.toBe(0);
    expect(backend.snapshot().found?.address.baseUrl).toBe(returned.url);
  });

  test.each([200, 404])('does not outlive a ComfyUI whose port was taken by a page that answers %i', async (status) => {
    const first = await simulator();
    const second = await simulator();
    const backend = backendAt(on(first.port, second.port));
    await backend.client();
    await first.kill('SIGKILL');
    await startStub((_request, response) => sendPage(response, status), first.port);
    await expect(backend.use(async (client) => client.queueRemaining())).rejects.toThrow();
    await expect(backend.use(async (client) => client.queueRemaining())).resolves.toBe(0);
    expect(backend.snapshot().found?.address.baseUrl).toBe(second.url);
  });

  test('is not taken from an error that says nothing about the server', async () => {
    const comfy = await simulator();
    const backend = backendAt(on(comfy.port));
    const client = await backend.client();
    await expect(
      backend.use(async () => {
        throw new Error('of another kind');
      }),
    ).rejects.toThrow('of another kind');
    await expect(backend.client()).resolves.toBe(client);
  });

  test('tells its listeners of every change, with what the addresses said', async () => {
    const comfy = await simulator();
    const backend = backendAt(on(comfy.port));
    const seen: string[] = [];
    backend.onChange(() => {
      const { found, answers } = backend.snapshot();
      seen.push(found?.version ?? answers.map(({ said }) => said).join());
    });
    await backend.client();
    await comfy.kill('SIGKILL');
    await backend.use(async (client) => client.queueRemaining()).catch(() => undefined);
    await expect(backend.client()).rejects.toThrow(NoComfyUIError);
    await expect(backend.client()).rejects.toThrow(NoComfyUIError);
    const [first, ...others] = seen;
    expect(first).toBe('0.8.0');
    expect(others.at(-1)).toBe('connection refused');
    expect(new Set(others).size).toBe(others.length); // the same answer again is no news
  });
});
