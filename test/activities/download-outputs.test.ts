import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createFetchOutput } from '../../activities/comfyui/fetch-output.js';
import { createSpool } from '../../activities/spool/spool.js';
import { createDownloadOutputs } from '../../activities/download-outputs.js';
import { createValidateOutputs } from '../../activities/validate-outputs.js';
import type { DownloadOutputsInput, OutputReference } from '../../workflows/contracts/activities.js';
import { emptyImage, node } from '../simulator/graphs.js';
import { until } from '../support/until.js';
import {
  clientAt,
  closeConnections,
  environment,
  factsOf,
  failureOf,
  knownBackend,
  silentLogger,
} from './support/activity-world.js';
import { queued } from './support/prompts.js';
import { simulator, stopSimulators } from './support/simulators.js';
import { closeStubs, startStub } from './support/stub-server.js';
import { buildExpectedOutputs } from '../support/expected-outputs.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'spool-'));
});
afterEach(async () => {
  await closeConnections();
  await Promise.all([stopSimulators(), closeStubs()]);
  rmSync(folder, { recursive: true, force: true });
});

function buildReference(file: Partial<NonNullable<OutputReference['file']>> = {}): OutputReference {
  return {
    nodeId: '9',
    kind: 'image',
    file: { filename: 'a.png', subfolder: '', type: 'output', ...file },
    textIndex: 0,
  };
}

function buildInput(...outputs: readonly OutputReference[]): DownloadOutputsInput {
  return { generationId: 'g-1', submission: 1, promptId: 'p-1', outputs };
}

function downloading(url: string, downloadMs = 60_000) {
  const spool = createSpool({
    folder,
    fetch: createFetchOutput({ backend: knownBackend(clientAt(url)), logger: silentLogger, downloadMs }),
  });
  return { spool, downloadOutputs: createDownloadOutputs({ spool }) };
}

const serving = (answer: (response: ServerResponse) => void) => startStub((_request, response) => answer(response));
const spooledFiles = () => readdirSync(folder, { recursive: true, encoding: 'utf8' });

describe('Downloads', () => {
  test.each([
    ['with spaces.png', 'dg/g 1/1'],
    ['снимок 🎨.png', 'папка'],
    ['100%25 & more+plus=?#.png', 'a&b/c+d'],
    [`"quotes" 'and' \\.png`, "o'clock"],
    ['a.b.png', 'x/.y'],
  ])('R3.1 the file %j of the folder %j is asked for with every character encoded', async (filename, subfolder) => {
    const server = await serving((response) => response.end('bytes'));
    const { downloadOutputs } = downloading(server.url);
    await environment().run(downloadOutputs, buildInput(buildReference({ filename, subfolder, type: 'temp&x=1' })));
    const [request = ''] = server.requests;
    expect(request).toMatch(/^GET \/api\/view\?[\x21-\x7e]*$/);
    const query = new URL(request.slice('GET '.length), server.url).searchParams;
    expect([...query.entries()]).toEqual([
      ['filename', filename],
      ['subfolder', subfolder],
      ['type', 'temp&x=1'],
    ]);
  });

  test('R3.1 files of a real queue arrive from their subfolders', async () => {
    const comfy = await simulator();
    const client = clientAt(comfy.url);
    const promptId = await queued(comfy.url, emptyImage({ prefix: 'a b/с & d/e+f' }));
    const state = await until('it succeeds', async () => {
      const seen = await client.promptState(promptId);
      return seen.status === 'succeeded' ? seen : null;
    });
    const { downloadOutputs } = downloading(comfy.url);
    const [spooled] = await environment().run(downloadOutputs, buildInput(...state.finished.outputs));
    expect(spooled?.reference.file?.subfolder).toBe('a b/с & d');
    expect(
      readFileSync(join(folder, 'g-1', '1', '0'))
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
    expect(spooled?.bytes).toBe(readFileSync(join(folder, 'g-1', '1', '0')).length);
  });

  test('R2.6 a text is taken from the history', async () => {
    const comfy = await simulator();
    const client = clientAt(comfy.url);
    const promptId = await queued(comfy.url, { '1': node('PreviewAny', { source: 'ein Text' }) });
    await until('it succeeds', async () => (await client.promptState(promptId)).status === 'succeeded');
    const text = { nodeId: '1', kind: 'text', file: null, textIndex: 0 } as const;
    const { downloadOutputs } = downloading(comfy.url);
    await environment().run(downloadOutputs, { ...buildInput(text), promptId });
    expect(readFileSync(join(folder, 'g-1', '1', '0'), 'utf8')).toBe('ein Text');
    const gone = { ...text, textIndex: 1 };
    const failure = await failureOf(
      environment().run(downloadOutputs, { ...buildInput(gone), promptId, submission: 2 }),
    );
    expect(factsOf(failure)).toMatchObject({ verdicts: [{ index: 0, fault: 'missing' }] });
  });

  test.each([
    ['a login page', 200, /is answered with a web page, as by a proxy that wants a login/],
    ['a proxy that wants a login', 401, /ComfyUI answered 401 to \/api\/view/],
    ['a proxy that has had enough', 429, /ComfyUI answered 429/],
    ['a proxy that does not reach ComfyUI', 522, /ComfyUI answered 522/],
  ])('R5.5 %s instead of the file is waited out, and is no damaged picture', async (_, status, words) => {
    const server = await serving((response) => {
      response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' });
      response.end('<html>Sign in</html>');
    });
    const failure = await failureOf(
      environment().run(downloading(server.url).downloadOutputs, buildInput(buildReference({ subfolder: 'dg' }))),
    );
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    expect(failure.message).toMatch(words);
  });

  test('R3.2 0 bytes are an error that says so, and are not spooled', async () => {
    const server = await serving((response) => response.end());
    const failure = await failureOf(
      environment().run(downloading(server.url).downloadOutputs, buildInput(buildReference({ subfolder: 'dg' }))),
    );
    expect(failure).toMatchObject({ type: 'OUTPUT_INVALID', nonRetryable: true });
    expect(failure.message).toMatch(/Downloaded 0 bytes from .*\(dg\/a\.png\)/);
    expect(factsOf(failure)).toMatchObject({ verdicts: [{ index: 0, fault: 'empty' }] });
    expect(existsSync(join(folder, 'g-1', '1', '0'))).toBe(false);
  });

  test('R3.2 fewer bytes than announced are an error, and are not spooled', async () => {
    const server = await serving((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('half', () => response.destroy());
    });
    const failure = await failureOf(
      environment().run(downloading(server.url).downloadOutputs, buildInput(buildReference())),
    );
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    expect(spooledFiles().filter((name) => name.endsWith('/0'))).toEqual([]);
  });

  test('a file larger than a worker fetches ends the generation, after its first bytes', async () => {
    const server = await serving((response) => {
      response.writeHead(200, { 'Content-Length': String(5 * 1024 ** 3) }).write('first bytes');
    });
    const { downloadOutputs } = downloading(server.url);
    const failure = await failureOf(environment().run(downloadOutputs, buildInput(buildReference())));
    expect(failure).toMatchObject({ type: 'OUTPUT_TOO_LARGE', nonRetryable: true });
    expect(failure.message).toMatch(/a\.png.* has more than 4294967296 bytes/);
    expect(spooledFiles().filter((name) => name.includes('.part'))).toEqual([]);
  });

  test.each([
    ['a/../b.png', ''],
    ['/a.png', ''],
    ['C:\\a.png', ''],
    ['a\0.png', ''],
    [`${'a'.repeat(300)}.png`, ''],
    ['a.png', '../x'],
    ['a.png', '/x'],
  ])('A8 the file %j of the folder %j is not asked for', async (filename, subfolder) => {
    const server = await serving((response) => response.end('bytes'));
    const { downloadOutputs } = downloading(server.url);
    const run = environment().run(downloadOutputs, buildInput(buildReference({ filename, subfolder })));
    expect(factsOf(await failureOf(run))).toMatchObject({ verdicts: [{ index: 0, fault: 'bad_name' }] });
    expect(server.requests).toEqual([]);
  });

  test('A8 a file that breaks off four times in a row is damaged where it lies', async () => {
    const server = await serving((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('half', () => response.destroy());
    });
    const { downloadOutputs } = downloading(server.url);
    let heartbeatDetails: unknown;
    const failures: string[] = [];
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      const world = environment({ attempt, heartbeatDetails });
      world.onHeartbeat((beat: unknown) => (heartbeatDetails = beat));
      failures.push((await failureOf(world.run(downloadOutputs, buildInput(buildReference())))).message);
    }
    expect(failures.slice(0, 3).join()).not.toContain('transfer_failed');
    expect(failures[3]).toMatch(/\(transfer_failed\): Downloaded 4 of 1000 bytes from .*connection reset; tries: 4/);
  });

  test('A8 breaks in two files are not counted together', async () => {
    const server = await serving((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('half', () => response.destroy());
    });
    const world = environment({ attempt: 4, heartbeatDetails: { index: 1, times: 3 } });
    const run = world.run(downloading(server.url).downloadOutputs, buildInput(buildReference()));
    expect(await failureOf(run)).toMatchObject({ type: 'NETWORK_ERROR' });
  });

  test('A8 a file that drips ends with its time, although it is never silent', async () => {
    const server = await serving((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      const timer = setInterval(() => response.write('.'), 20);
      response.once('close', () => {
        clearInterval(timer);
      });
    });
    const { downloadOutputs } = downloading(server.url, 300);
    const failure = await failureOf(environment().run(downloadOutputs, buildInput(buildReference())));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    expect(failure.message).toMatch(/Downloaded \d+ of 1000 bytes from .*, then the time for it was over/);
  });

  test('A8 a file that is packed although nobody asked for that is not taken', async () => {
    const server = await serving((response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.end('bytes');
    });
    const failure = await failureOf(
      environment().run(downloading(server.url).downloadOutputs, buildInput(buildReference())),
    );
    expect(failure.message).toMatch(/is sent with Content-Encoding gzip, which was not asked for/);
    expect(spooledFiles().filter((name) => name.endsWith('/0'))).toEqual([]);
  });

  test('R3.2 a stream without an announced length that breaks is an error', async () => {
    const server = await serving((response) => {
      response.write('half', () => response.destroy());
    });
    const failure = await failureOf(
      environment().run(downloading(server.url).downloadOutputs, buildInput(buildReference())),
    );
    expect(failure.type).toBe('NETWORK_ERROR');
    expect(spooledFiles().filter((name) => name.endsWith('/0'))).toEqual([]);
  });

  test('R3.2 a file that ComfyUI no longer has is a missing output', async () => {
    const comfy = await simulator();
    const { downloadOutputs } = downloading(comfy.url);
    const failure = await failureOf(environment().run(downloadOutputs, buildInput(buildReference())));
    expect(failure).toMatchObject({ type: 'OUTPUT_INVALID', nonRetryable: true });
    expect(factsOf(failure)).toMatchObject({ verdicts: [{ index: 0, fault: 'missing' }] });
  });

  test('what is spooled is not fetched again', async () => {
    const server = await serving((response) => response.end('first'));
    const { spool, downloadOutputs } = downloading(server.url);
    await environment().run(downloadOutputs, buildInput(buildReference()));
    await environment({ attempt: 2 }).run(downloadOutputs, buildInput(buildReference()));
    expect(server.requests).toHaveLength(1);
    await spool.remove('g-1');
    expect(spooledFiles()).toEqual([]);
  });

  test('a lost file is fetched again, and one that has other bytes now is invalid, not delivered under the old hash', async () => {
    let body = 'first';
    const server = await serving((response) => response.end(body));
    const { spool, downloadOutputs } = downloading(server.url);
    const [first] = await environment().run(downloadOutputs, buildInput(buildReference()));
    const request = { ...buildInput(), index: 0, reference: buildReference(), sha256: first?.sha256 ?? '' };
    await spool.remove('g-1');
    const { signal } = new AbortController();
    await expect(spool.ensureSpooled(request, signal)).resolves.toMatchObject({ sha256: first?.sha256 });
    await spool.remove('g-1');
    body = 'second';
    await expect(spool.ensureSpooled(request, signal)).rejects.toThrow('another file under this name');
    expect(spooledFiles()).not.toContain('g-1/1/0');
  });

  test('a cancel ends a download that drips', async () => {
    const world = environment();
    const server = await serving((response) => {
      response.write('drip', () => {
        world.cancel('CANCELLED');
      });
    });
    const run = world.run(downloading(server.url).downloadOutputs, buildInput(buildReference()));
    await expect(run).rejects.toMatchObject({ name: 'CancelledFailure' });
  });
});

/** Nothing is read from the store where no template compares with a picture of the caller. */
const NO_STORE = { open: async (key: string) => Promise.reject(new Error(`${key} was not to be read`)) };

describe('Validation', () => {
  test('R3.2 an invalid file ends with every fault named, and is not kept to be judged again', async () => {
    const server = await serving((response) => response.end('<!DOCTYPE html>'));
    const { spool, downloadOutputs } = downloading(server.url);
    const input = buildInput(buildReference(), buildReference({ filename: 'b.png' }));
    const outputs = await environment().run(downloadOutputs, input);
    const validateOutputs = createValidateOutputs({ spool, store: NO_STORE, maxDecodes: 2, ffmpegPath: null });
    const expected = buildExpectedOutputs({ count: 3, flatImages: 'fail' });
    const failure = await failureOf(environment().run(validateOutputs, { ...input, outputs, expected }));
    expect(failure).toMatchObject({ type: 'OUTPUT_INVALID', nonRetryable: true });
    expect(factsOf(failure)).toMatchObject({
      verdicts: [
        { index: 0, fault: 'unknown_signature' },
        { index: 1, fault: 'unknown_signature' },
        { index: 2, fault: 'wrong_count' },
      ],
    });
    expect(spooledFiles()).toEqual([]);
  });

  test('a picture of the real queue passes', async () => {
    const comfy = await simulator();
    const promptId = await queued(comfy.url, emptyImage());
    const client = clientAt(comfy.url);
    const state = await until('it succeeds', async () => {
      const seen = await client.promptState(promptId);
      return seen.status === 'succeeded' ? seen : null;
    });
    const { spool, downloadOutputs } = downloading(comfy.url);
    const input = buildInput(...state.finished.outputs);
    const outputs = await environment().run(downloadOutputs, input);
    const expected = buildExpectedOutputs({ widthPx: 16, heightPx: 16, count: 1, flatImages: 'flag' });
    const validateOutputs = createValidateOutputs({ spool, store: NO_STORE, maxDecodes: 1, ffmpegPath: null });
    const [valid] = await environment().run(validateOutputs, { ...input, outputs, expected });
    expect(valid).toMatchObject({ mediaType: 'image/png', extension: 'png', widthPx: 16, heightPx: 16, isFlat: true });
    expect(valid).toMatchObject({ ...outputs[0] });
  });
});
