import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import {
  FalDownloadError,
  FalFileRefusedError,
  FalHttpError,
  FalInputRefusedError,
  FalKeyRefusedError,
  FalModelIdError,
  FalNoFileError,
  FalRequestFailedError,
  FalRequestGoneError,
  FalSubmissionUnknownError,
  FalUnreachableError,
  NotFalError,
} from '../../activities/fal/errors.js';
import { createFetchFalOutput } from '../../activities/fal/fetch-fal-output.js';
import { createSpool } from '../../activities/spool/spool.js';
import type { SpoolRequest } from '../../activities/spool/spool.js';
import { createFalClient } from '../../activities/fal/fal-client.js';
import { checkedFileUrl } from '../../activities/fal/file-address.js';
import { armFal, falEvents } from '../support/fal-process.js';
import type { FalProcess } from '../support/fal-process.js';
import { until } from '../support/until.js';
import { closeFal, falClientAt, falSimulator, MODEL, PROMPT } from './support/fal-world.js';
import { closeStubs, freePort, sendJson, sendPage, startStub } from './support/stub-server.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fal-files-'));
});
afterEach(async () => {
  await Promise.all([closeFal(), closeStubs()]);
  rmSync(folder, { recursive: true, force: true });
});

const SUBMISSION = { modelId: MODEL, input: PROMPT, startSeconds: 30 };
const KEY = 'key-id:very-secret-key';
const signal = new AbortController().signal;
const answering = (answer: (response: ServerResponse) => void) => startStub((_request, response) => answer(response));

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => {
      throw new Error(`It succeeded with ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

async function completed(fal: FalProcess) {
  const client = falClientAt(fal.url);
  const requestId = await client.submit(SUBMISSION);
  const request = { modelId: MODEL, requestId };
  await until('it is completed', async () => (await client.status(request)).status === 'completed');
  return { client, request };
}

function spoolRequest(url: string): SpoolRequest {
  const reference = { nodeId: 'fal', kind: 'image', file: null, textIndex: 0, url } as const;
  return { generationId: 'g-1', submission: 1, promptId: 'r-1', index: 0, reference, sha256: null };
}

describe('The client of fal.ai', () => {
  test('submits, waits, reads the result and fetches its file', async () => {
    const fal = await falSimulator();
    const { client, request } = await completed(fal);
    const result = await client.result(request);
    expect(result).toMatchObject({ seed: 7, inferenceSeconds: 0 });
    expect(result.files).toMatchObject([{ widthPx: 64, heightPx: 48, contentType: 'image/png', isFlagged: false }]);
    const path = join(folder, 'a.png');
    const file = await client.download({ url: result.files[0]?.url ?? '', path, signal, totalMs: 60_000 });
    expect(file.bytes).toBe(result.files[0]?.bytes);
    expect(await sharp(path).metadata()).toMatchObject({ width: 64, height: 48 });
    expect(readdirSync(folder)).toEqual(['a.png']);
    expect(await client.cancel(request)).toBe('finished');
  });

  test('asks for the model that was named and no other, and for a start in time; under the path of the model only to submit', async () => {
    const headers: unknown[] = [];
    const stub = await startStub((request, response) => {
      headers.push(request.headers);
      sendJson(response, 200, { request_id: 'r-1', status: 'IN_QUEUE', queue_position: 3 });
    });
    const client = falClientAt(stub.url, KEY);
    const requestId = await client.submit(SUBMISSION);
    expect(await client.status({ modelId: MODEL, requestId })).toEqual({ status: 'queued', queuePosition: 3 });
    expect(await client.cancel({ modelId: MODEL, requestId })).toBe('requested');
    expect(stub.requests).toEqual([
      'POST /fal-ai/flux/dev',
      'GET /fal-ai/flux/requests/r-1/status?logs=1',
      'PUT /fal-ai/flux/requests/r-1/cancel',
    ]);
    expect(headers[0]).toMatchObject({
      authorization: `Key ${KEY}`,
      ...{ 'x-fal-disable-fallbacks': 'true', 'x-fal-request-timeout': '30' },
    });
  });

  test('is none without a key', () => {
    expect(createFalClient({ key: null, queueUrl: 'https://queue.fal.run' })).toBeNull();
  });

  test('says of a refused key what to do about it', async () => {
    const fal = await falSimulator();
    const error = await errorOf(falClientAt(fal.url, KEY).submit(SUBMISSION));
    expect(error).toBeInstanceOf(FalKeyRefusedError);
    expect(String(error)).toMatch(/refused the key in FAL_KEY with 403: This key is not valid/);
    expect(falEvents(fal, 'submitted')).toEqual([]);
  });

  test.each(['flux', 'fal-ai/', '../x', 'fal-ai/..', 'fal-ai/flux?x=1', 'fal-ai/flux dev', '//evil.example/x'])(
    'asks nothing of a model called %j',
    async (modelId) => {
      const stub = await answering((response) => sendJson(response, 200, { request_id: 'r-1' }));
      const client = falClientAt(stub.url);
      expect(await errorOf(client.submit({ ...SUBMISSION, modelId }))).toBeInstanceOf(FalModelIdError);
      expect(stub.requests).toEqual([]);
    },
  );
});

describe('A submission is never posted again, and its outcome is', () => {
  test('unknown when the answer is lost', async () => {
    const fal = await falSimulator();
    await armFal(fal, { kind: 'lost_answer' });
    const error = await errorOf(falClientAt(fal.url).submit(SUBMISSION));
    expect(error).toBeInstanceOf(FalSubmissionUnknownError);
    expect(String(error)).toMatch(/connection reset.*not posted again/s);
    expect(falEvents(fal, 'submitted')).toHaveLength(1);
  });

  test.each([500, 502, 503, 504])(
    'unknown after %i, which a gateway also answers for what was taken',
    async (status) => {
      const stub = await answering((response) => sendPage(response, status));
      expect(await errorOf(falClientAt(stub.url).submit(SUBMISSION))).toBeInstanceOf(FalSubmissionUnknownError);
      expect(stub.requests).toHaveLength(1);
    },
  );

  test('unknown after a 200 without an id', async () => {
    const stub = await answering((response) => sendPage(response));
    expect(await errorOf(falClientAt(stub.url).submit(SUBMISSION))).toBeInstanceOf(FalSubmissionUnknownError);
    expect(stub.requests).toHaveLength(1);
  });

  test.each([
    ['429', { kind: '429', retryAfterSeconds: 7 }, 429],
    ['503 with a time to come back', { kind: '5xx', status: 503, retryAfterSeconds: 7 }, 503],
  ])('known after %s: refused, with the wait that fal asks for', async (_name, fault, status) => {
    const fal = await falSimulator();
    await armFal(fal, fault);
    const error = await errorOf(falClientAt(fal.url).submit(SUBMISSION));
    expect(error).toBeInstanceOf(FalHttpError);
    expect(error).toMatchObject({ status, retryAfterMs: 7_000, isPassing: true });
    expect(falEvents(fal, 'submitted')).toEqual([]);
  });

  test('known when nothing listens: nothing arrived', async () => {
    const error = await errorOf(falClientAt(`http://127.0.0.1:${await freePort()}`).submit(SUBMISSION));
    expect(error).toBeInstanceOf(FalUnreachableError);
    expect(error).toMatchObject({ mayHaveArrived: false });
  });
});

describe('A request that failed', () => {
  test('through its input says which field and why, without what was sent', async () => {
    const fal = await falSimulator();
    await armFal(fal, { kind: '422', detailType: 'face_detection_error', field: 'image_url' });
    const { client, request } = await completed(fal);
    expect(await client.status(request)).toMatchObject({ status: 'completed', failure: null });
    const error = await errorOf(client.result(request));
    expect(error).toBeInstanceOf(FalInputRefusedError);
    expect(error).toMatchObject({ faults: [{ field: 'image_url', type: 'face_detection_error' }] });
    expect(String(error)).not.toContain('lighthouse');
  });

  test('through fal says so in its status and in its result', async () => {
    const fal = await falSimulator();
    await armFal(fal, { kind: 'error_in_completed', errorType: 'runner_disconnected' });
    const { client, request } = await completed(fal);
    expect(await client.status(request)).toMatchObject({ failure: { errorType: 'runner_disconnected' } });
    const error = await errorOf(client.result(request));
    expect(error).toBeInstanceOf(FalRequestFailedError);
    expect(error).toMatchObject({ errorType: 'runner_disconnected' });
  });

  test('by delivering nothing names the fields of its answer', async () => {
    const stub = await answering((response) => sendJson(response, 200, { output: 'text', images: [], seed: 1 }));
    const error = await errorOf(falClientAt(stub.url).result({ modelId: MODEL, requestId: 'r-1' }));
    expect(error).toBeInstanceOf(FalNoFileError);
    expect(String(error)).toMatch(/output, images, seed|images, output, seed|seed/);
  });

  test('that is unknown, and answers that are none of fal, are errors of their own', async () => {
    const fal = await falSimulator();
    const request = { modelId: MODEL, requestId: 'r-1' };
    const client = falClientAt(fal.url);
    expect(await errorOf(client.status(request))).toBeInstanceOf(FalRequestGoneError);
    expect(await errorOf(client.result(request))).toBeInstanceOf(FalRequestGoneError);
    expect(await client.cancel(request)).toBe('absent');
    const page = await answering((response) => sendPage(response));
    expect(await errorOf(falClientAt(page.url).status(request))).toBeInstanceOf(NotFalError);
    const status = await answering((response) => sendJson(response, 200, { status: 'A_NEW_ONE', logs: 'none' }));
    expect(await falClientAt(status.url).status(request)).toEqual({ status: 'running', lastLog: null });
  });
});

describe('The key', () => {
  test('is in no error, whatever the server repeats', async () => {
    const stub = await startStub((request, response) => {
      const echo = `your header was ${request.headers.authorization ?? ''}, its secret ${KEY.split(':')[1] ?? ''}`;
      sendJson(response, request.method === 'PUT' ? 403 : 500, { detail: echo });
    });
    const client = falClientAt(stub.url, KEY);
    const request = { modelId: MODEL, requestId: 'r-1' };
    const errors = await Promise.all([
      errorOf(client.submit(SUBMISSION)),
      errorOf(client.status(request)),
      errorOf(client.cancel(request)),
      errorOf(falClientAt(`http://127.0.0.1:${await freePort()}`, KEY).status(request)),
    ]);
    const text = inspect([client, ...errors], { depth: 20, showHidden: true });
    expect(text).toContain('[FAL_KEY]');
    expect(text).not.toContain('very-secret-key');
  });

  test('does not go along with the fetching of a file', async () => {
    const seen: unknown[] = [];
    const stub = await startStub((request, response) => {
      seen.push(request.headers.authorization);
      response.end('bytes');
    });
    await falClientAt(stub.url, KEY).download({
      url: `${stub.url}/a.png`,
      path: join(folder, 'a'),
      signal,
      totalMs: 60_000,
    });
    expect(seen).toEqual([undefined]);
  });
});

describe('A file', () => {
  const QUEUE = 'https://queue.fal.run';

  test.each([
    'https://v3.fal.media/files/a/b.png',
    'https://fal.media/files/b.png',
    'https://storage.fal.ai/b.png',
    'https://queue.fal.run/files/b.png',
  ])('at %s is one of fal', (url) => {
    expect(checkedFileUrl(url, QUEUE).href).toBe(url);
  });

  test.each([
    'http://v3.fal.media/b.png',
    'https://v3.fal.media:8443/b.png',
    'https://user@v3.fal.media/b.png',
    'https://fal.media.evil.example/b.png',
    'https://notfal.media/b.png',
    'https://v3.fal.media@127.0.0.1/b.png',
    'http://127.0.0.1/b.png',
    'http://2130706433/b.png',
    'http://[::ffff:127.0.0.1]/b.png',
    'http://169.254.169.254/latest/meta-data',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    '/files/b.png',
    '',
  ])('at %j is none', (url) => {
    expect(() => checkedFileUrl(url, QUEUE)).toThrow(FalFileRefusedError);
  });

  test('from another port of the machine that the queue is on is not fetched', async () => {
    const [queue, other] = [await answering((r) => r.end()), await answering((r) => r.end('secret'))];
    const download = { url: `${other.url}/a`, path: join(folder, 'a'), signal, totalMs: 60_000 };
    expect(await errorOf(falClientAt(queue.url).download(download))).toBeInstanceOf(FalFileRefusedError);
    expect(other.requests).toEqual([]);
  });

  test('that is somewhere else now is not fetched from there', async () => {
    const other = await answering((response) => response.end('secret'));
    const queue = await answering((response) => response.writeHead(302, { location: `${other.url}/a` }).end());
    const download = { url: `${queue.url}/a`, path: join(folder, 'a'), signal, totalMs: 60_000 };
    expect(String(await errorOf(falClientAt(queue.url).download(download)))).toMatch(/answered 302/);
    expect(other.requests).toEqual([]);
  });

  test.each([
    ['empty', /Downloaded 0 bytes from/],
    ['missing', /answered 404/],
    ['cut', /then the connection broke/],
  ])('that is %s leaves nothing on disk', async (file, message) => {
    const fal = await falSimulator();
    const { client, request } = await completed(fal);
    const { files } = await client.result(request);
    await armFal(fal, { kind: 'bad_file', file });
    const spool = createSpool({ folder, fetch: createFetchFalOutput({ fal: client, downloadMs: 60_000 }) });
    const spooling = async () => spool.ensureSpooled(spoolRequest(files[0]?.url ?? ''), signal);
    const error = await errorOf(spooling());
    expect(error).toBeInstanceOf(FalDownloadError);
    expect(String(error)).toMatch(message);
    expect(readdirSync(join(folder, 'g-1', '1'))).toEqual([]);
    await spooling(); // the next time it is whole
    expect(readdirSync(join(folder, 'g-1', '1'))).toEqual(['0']);
  });

  test('that is larger than allowed is not read to its end', async () => {
    const stub = await answering((response) => response.end(Buffer.alloc(100_000)));
    const download = { url: `${stub.url}/a`, path: join(folder, 'a'), signal, totalMs: 60_000, maxBytes: 50_000 };
    expect(String(await errorOf(falClientAt(stub.url).download(download)))).toMatch(/more than 50000 bytes/);
  });
});
