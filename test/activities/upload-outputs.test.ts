import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Spool } from '../../activities/spool/spool.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { createUploadOutputs } from '../../activities/upload-outputs.js';
import type { LateAttempt } from '../../activities/late-attempt.js';
import type { UploadOutputsDeps } from '../../activities/upload-outputs.js';
import type { UploadOutputsInput, ValidOutput } from '../../workflows/contracts/activities.js';
import type { OutputKind } from '../../workflows/contracts/generation.js';
import { createTestBucket, uniqueName } from '../support/stack.js';
import { environment, factsOf, failureOf } from './support/activity-world.js';

let store: ObjectStore;
let folder: string;
beforeAll(async () => {
  store = createObjectStore(await createTestBucket());
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upload-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const uploading = (deps: Pick<UploadOutputsDeps, 'spool' | 'store'>, late: Partial<LateAttempt> = {}) =>
  createUploadOutputs({
    ...deps,
    late: { ensureCurrent: async () => undefined, isForNobody: async () => false, ...late },
  });
const sha256Of = (text: string) => createHash('sha256').update(text).digest('hex');

function buildOutput(text: string, index = 0, kind: OutputKind = 'image'): ValidOutput {
  return {
    index,
    reference: { nodeId: '9', kind, file: { filename: 'a.png', subfolder: '', type: 'output' }, textIndex: 0 },
    bytes: Buffer.byteLength(text),
    sha256: sha256Of(text),
    ...(kind === 'text' ? { mediaType: 'text/plain', extension: 'txt' } : { mediaType: 'image/png', extension: 'png' }),
    ...{ widthPx: 1, heightPx: 1, frames: null, durationSeconds: null, isFlat: false },
  };
}

function buildInput(outputs: readonly ValidOutput[], facts: Partial<UploadOutputsInput> = {}): UploadOutputsInput {
  return { generationId: uniqueName('g'), submission: 1, promptId: 'p-1', outputs, stored: [], ...facts };
}

/** A spool whose files are these texts. */
function spoolOf(...texts: readonly string[]) {
  const calls: string[] = [];
  const spool: Spool = {
    async ensureSpooled({ index }) {
      const text = texts[index] ?? '';
      const path = join(folder, String(index));
      writeFileSync(path, text);
      calls.push(`read ${index}`);
      return { path, bytes: Buffer.byteLength(text), sha256: sha256Of(text) };
    },
    generationIds: async () => [],
    remove: async (generationId) => {
      calls.push(`remove ${generationId}`);
    },
  };
  return { spool, calls };
}

async function textAt(key: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await store.open(key)) as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

describe('Uploads', () => {
  test('R3.3 objects are named after generation, kind and number', async () => {
    const { spool, calls } = spoolOf('one', 'two', 'a text');
    const outputs = [buildOutput('one'), buildOutput('two', 1), buildOutput('a text', 2, 'text')];
    const input = buildInput(outputs);
    const stored = await environment().run(uploading({ spool, store }), input);
    const at = (name: string) => `jobs/${input.generationId}/${name}`;
    expect(stored.map(({ objectKey }) => objectKey)).toEqual([at('image_0.png'), at('image_1.png'), at('text_0.txt')]);
    await expect(textAt(at('image_1.png'))).resolves.toBe('two');
    expect(await store.facts(at('image_0.png'))).toMatchObject({
      ...{ bytes: 3, sha256: sha256Of('one'), mediaType: 'image/png', metadata: { submission: '1' } },
    });
    expect(stored[0]).toMatchObject({ index: 0, kind: 'image', bytes: 3, sha256: sha256Of('one') });
    expect(calls.at(-1)).toBe(`remove ${input.generationId}`);
  });

  test('a second upload of the same bytes succeeds without sending them', async () => {
    const input = buildInput([buildOutput('same')]);
    const first = await environment().run(uploading({ ...spoolOf('same'), store }), input);
    const { spool, calls } = spoolOf('same');
    const second = await environment({ attempt: 2 }).run(uploading({ spool, store }), input);
    expect(second).toEqual(first);
    expect(calls).not.toContain('read 0');
  });

  test('an attempt that was given up while its worker was stopped stores nothing', async () => {
    const input = buildInput([buildOutput('late')]);
    const ensureCurrent = async () => {
      throw ApplicationFailure.nonRetryable('given up');
    };
    await failureOf(environment().run(uploading({ ...spoolOf('late'), store }, { ensureCurrent }), input));
    await expect(store.facts(`jobs/${input.generationId}/image_0.png`)).resolves.toBeNull();
  });

  test('R5.2 the numbers of a part of a batch go on after the parts before it', async () => {
    const input = buildInput([buildOutput('third'), buildOutput('fourth', 1)], { stored: ['image', 'text', 'image'] });
    const stored = await environment().run(uploading({ ...spoolOf('third', 'fourth'), store }), input);
    expect(stored.map(({ index, objectKey }) => [index, objectKey])).toEqual([
      [3, `jobs/${input.generationId}/image_2.png`],
      [4, `jobs/${input.generationId}/image_3.png`],
    ]);
  });

  test('what was stored for a generation that ended without it meanwhile is removed again', async () => {
    const input = buildInput([buildOutput('late')]);
    const isForNobody = async () => true;
    const failure = await failureOf(
      environment().run(uploading({ ...spoolOf('late'), store }, { isForNobody }), input),
    );
    expect(failure).toMatchObject({ nonRetryable: true });
    await expect(store.facts(`jobs/${input.generationId}/image_0.png`)).resolves.toBeNull();
  });

  test('what a lower submission has stored is replaced', async () => {
    const { generationId } = buildInput([]);
    const old = buildInput([buildOutput('old')], { generationId });
    await environment().run(uploading({ ...spoolOf('old'), store }), old);
    const next = buildInput([buildOutput('new!')], { generationId, submission: 2 });
    await environment().run(uploading({ ...spoolOf('new!'), store }), next);
    await expect(textAt(`jobs/${generationId}/image_0.png`)).resolves.toBe('new!');
  });

  test('what a higher submission has stored is left alone', async () => {
    const { generationId } = buildInput([]);
    const next = buildInput([buildOutput('new!')], { generationId, submission: 2 });
    await environment().run(uploading({ ...spoolOf('new!'), store }), next);
    const late = buildInput([buildOutput('late')], { generationId });
    const failure = await failureOf(environment().run(uploading({ ...spoolOf('late'), store }), late));
    expect(failure).toMatchObject({ type: 'SUPERSEDED', nonRetryable: true });
    expect(failure.message).toMatch(/Submission 2 has stored .*image_0\.png, this is 1/);
    await expect(textAt(`jobs/${generationId}/image_0.png`)).resolves.toBe('new!');
  });

  test('R3.2 bytes that are not those that were validated are refused by the store itself', async () => {
    const input = buildInput([buildOutput('valid')]);
    const { spool } = spoolOf('other');
    const lying: Spool = {
      ...spool,
      ensureSpooled: async (...request) => ({
        ...(await spool.ensureSpooled(...request)),
        bytes: 5,
        sha256: sha256Of('valid'),
      }),
    };
    const failure = await failureOf(environment().run(uploading({ spool: lying, store }), input));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    await expect(store.facts(`jobs/${input.generationId}/image_0.png`)).resolves.toBeNull();
  });

  test('R3.2 after the upload size and checksum are compared with what was validated', async () => {
    const input = buildInput([buildOutput('valid')]);
    const { spool, calls } = spoolOf('a whole other file');
    const failure = await failureOf(environment().run(uploading({ spool, store }), input));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    expect(failure.message).toMatch(/has 18 bytes, sent were 5/);
    expect(calls).not.toContain(`remove ${input.generationId}`);
  });

  test('R3.2 a store that keeps no checksum is read back', async () => {
    const forgetful: ObjectStore = {
      ...store,
      facts: async (key) => {
        const facts = await store.facts(key);
        return facts === null ? null : { ...facts, sha256: null };
      },
    };
    const input = buildInput([buildOutput('abc')]);
    await environment().run(uploading({ ...spoolOf('abc'), store: forgetful }), input);
    const other = { ...input, outputs: [buildOutput('xyz')] };
    const failure = await failureOf(environment().run(uploading({ ...spoolOf('abc'), store: forgetful }), other));
    expect(failure.message).toMatch(/or other contents/);
  });

  test('a store that is away is a network error that may be tried again', async () => {
    const { endpoint, ...rest } = await createTestBucket();
    const away = createObjectStore({ ...rest, endpoint: new URL(`http://${endpoint.hostname}:1`) });
    const input = buildInput([buildOutput('a')]);
    const failure = await failureOf(environment().run(uploading({ ...spoolOf('a'), store: away }), input));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    expect(factsOf(failure)).toMatchObject({ code: 'ECONNREFUSED' });
  });
});
