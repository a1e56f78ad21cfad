import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { inspectOutput } from '../../activities/media/inspect-output.js';
import type { ExpectedOutputs, OutputKind } from '../../workflows/contracts/generation.js';
import type { MediaFault } from '../../workflows/domain/media-signature.js';
import { buildExpectedOutputs } from '../support/expected-outputs.js';
import { FFMPEG_PATH, makeMedia, movingPicture, tone } from '../support/ffmpeg.js';

const folder = mkdtempSync(join(tmpdir(), 'recordings-'));
const SIZE = '320x240';
const SECONDS = 2;
const FROM_FFMPEG: unknown = expect.stringMatching(/^ffmpeg: /);
const H264 = ['-c:v', 'libx264', '-pix_fmt', 'yuv420p'];

interface Recording {
  readonly args: readonly string[];
  readonly mediaType: string;
  readonly kind: OutputKind;
}

/** What ComfyUI's own and the usual custom nodes write. */
const RECORDINGS = {
  'a.mp4': { args: [...movingPicture(SIZE, SECONDS), ...H264], mediaType: 'video/mp4', kind: 'video' },
  'front.mp4': {
    args: [...movingPicture(SIZE, SECONDS), ...tone(SECONDS), ...H264, '-c:a', 'aac', '-movflags', '+faststart'],
    ...{ mediaType: 'video/mp4', kind: 'video' },
  },
  'a.webm': { args: [...movingPicture(SIZE, SECONDS), '-c:v', 'libvpx-vp9'], mediaType: 'video/webm', kind: 'video' },
  'a.mov': { args: [...movingPicture(SIZE, SECONDS), ...H264], mediaType: 'video/quicktime', kind: 'video' },
  'a.flac': { args: tone(SECONDS), mediaType: 'audio/flac', kind: 'audio' },
  'a.mp3': { args: tone(SECONDS), mediaType: 'audio/mpeg', kind: 'audio' },
  'a.wav': { args: tone(SECONDS), mediaType: 'audio/wav', kind: 'audio' },
  'a.opus': { args: [...tone(SECONDS), '-c:a', 'libopus'], mediaType: 'audio/ogg', kind: 'audio' },
  'a.m4a': { args: [...tone(SECONDS), '-c:a', 'aac'], mediaType: 'audio/mp4', kind: 'audio' },
} as const satisfies Readonly<Record<string, Recording>>;
type Name = keyof typeof RECORDINGS;
const NAMES = Object.keys(RECORDINGS) as readonly Name[];
const VIDEOS = NAMES.filter((name) => RECORDINGS[name].kind === 'video');
const SOUNDS = NAMES.filter((name) => RECORDINGS[name].kind === 'audio');

beforeAll(() => {
  for (const [name, { args }] of Object.entries(RECORDINGS)) makeMedia(...args, join(folder, name));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function bytesOf(name: Name): Buffer {
  return readFileSync(join(folder, name));
}

let files = 0;

interface Asked {
  readonly bytes: Uint8Array;
  readonly name: Name;
  readonly expected?: Partial<ExpectedOutputs>;
  readonly ffmpegPath?: string | null;
  readonly signal?: AbortSignal;
}

async function inspected({ bytes, name, expected, ffmpegPath = FFMPEG_PATH, signal }: Asked) {
  files += 1;
  const path = join(folder, `judged-${files}`);
  writeFileSync(path, bytes);
  const file = { filename: name, subfolder: '', type: 'output' };
  return inspectOutput({
    ...{ path, ffmpegPath, signal: signal ?? new AbortController().signal },
    reference: { nodeId: '9', kind: RECORDINGS[name].kind, file, textIndex: 0 },
    expected: buildExpectedOutputs(expected),
  });
}

async function faultOf(asked: Asked): Promise<MediaFault | null> {
  const verdict = await inspected(asked);
  return verdict.ok ? null : verdict.fault;
}

test.each(NAMES)('%s passes with what was measured', async (name) => {
  const { kind, mediaType } = RECORDINGS[name];
  const verdict = await inspected({ bytes: bytesOf(name), name });
  expect(verdict).toMatchObject({
    ...{ ok: true, mediaType, extension: name.split('.')[1] },
    ...(kind === 'video' ? { widthPx: 320, heightPx: 240, frames: 48 } : { widthPx: null, frames: null }),
  });
  expect(verdict.ok && verdict.durationSeconds).toBeCloseTo(SECONDS, 0);
});

describe('R3.2 What is damaged', () => {
  test.each(NAMES)('%s of which anything is missing at its end is no result', async (name) => {
    const bytes = bytesOf(name);
    for (const missing of [1, 10, Math.ceil(bytes.length / 100), Math.ceil(bytes.length / 2), bytes.length - 600]) {
      const fault = await faultOf({ bytes: bytes.subarray(0, -missing), name });
      expect({ missing, fault }).toEqual({
        missing,
        fault: expect.stringMatching(/^(truncated|undecodable|no_frames)$/),
      });
    }
  });

  // Neither holds a checksum of its own data.
  test.each(NAMES.filter((name) => name !== 'a.wav'))(
    '%s is looked at to its end without ffmpeg, too',
    async (name) => {
      const bytes = bytesOf(name);
      const half = bytes.subarray(0, bytes.length / 2);
      expect(await faultOf({ bytes: half, name, ffmpegPath: null })).not.toBeNull();
    },
  );

  test.each(['a.mp4', 'front.mp4', 'a.webm', 'a.mov'] as const)('%s with zeros in its data is found', async (name) => {
    const bytes = Buffer.from(bytesOf(name));
    const at = name === 'front.mp4' ? Math.floor(bytes.length * 0.5) : Math.floor(bytes.length * 0.3);
    bytes.fill(0, at, at + 2_048);
    const verdict = await inspected({ bytes, name });
    // Of a WebM the packets after the damage are lost, so that it ends too early.
    const isFound = name === 'a.webm' ? { fault: 'truncated' } : { fault: 'undecodable', detail: FROM_FFMPEG };
    expect(verdict).toMatchObject({ ok: false, ...isFound });
  });

  test.each(['a.flac', 'a.opus'] as const)('one flipped bit in %s is found without ffmpeg', async (name) => {
    const bytes = Buffer.from(bytesOf(name));
    const at = Math.floor(bytes.length * 0.6);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect(await faultOf({ bytes, name, ffmpegPath: null })).toBe('undecodable');
  });

  test.each(['a.mp4', 'front.mp4', 'a.webm', 'a.mov', 'a.opus', 'a.wav'] as const)(
    'bytes after the end of %s are noticed',
    async (name) => {
      const bytes = Buffer.concat([bytesOf(name), Buffer.from('<script>alert(1)</script>')]);
      expect(await faultOf({ bytes, name })).toBe('trailing_bytes');
    },
  );

  test.each([
    ['no bytes', Buffer.alloc(0), 'empty'],
    ['an HTML page', Buffer.from('<!DOCTYPE html><html></html>'), 'unknown_signature'],
    ['zeros', Buffer.alloc(50_000), 'unknown_signature'],
    ['a header alone', Buffer.from('000000186674797069736f6d0000020069736f6d69736f32', 'hex'), 'truncated'],
  ])('%s under the name of a video', async (_what, bytes, fault) => {
    expect(await faultOf({ bytes, name: 'a.mp4' })).toBe(fault);
  });

  test('a video without a single picture', async () => {
    const path = join(folder, 'none.mp4');
    makeMedia(...movingPicture(SIZE, 1), ...H264, '-frames:v', '0', path);
    const fault = await faultOf({ bytes: readFileSync(path), name: 'a.mp4' });
    expect(fault).toMatch(/^(no_frames|wrong_kind|truncated)$/);
  });

  test('a sound under the name of a video, and a video under the name of a sound', async () => {
    expect(await faultOf({ bytes: bytesOf('a.m4a'), name: 'a.mp4' })).toBe('wrong_kind');
    expect(await faultOf({ bytes: bytesOf('a.webm'), name: 'a.opus' })).toBe('wrong_kind');
  });
});

describe('What was asked', () => {
  test.each(VIDEOS)('%s is compared with it', async (name) => {
    const bytes = bytesOf(name);
    const asked = { kind: 'video', widthPx: 320, heightPx: 240, frames: 48, durationSeconds: 2 } as const;
    expect(await faultOf({ bytes, name, expected: asked })).toBeNull();
    expect(await faultOf({ bytes, name, expected: { ...asked, widthPx: 640 } })).toBe('wrong_size');
    expect(await faultOf({ bytes, name, expected: { ...asked, frames: 49 } })).toBe('wrong_frames');
    expect(await faultOf({ bytes, name, expected: { ...asked, durationSeconds: 10 } })).toBe('wrong_duration');
    expect(await faultOf({ bytes, name, expected: { ...asked, kind: 'image' } })).toBe('wrong_kind');
  });

  test('A8 a video must have a sound where one was asked', async () => {
    const expected = { hasSound: true } as const;
    expect(await faultOf({ bytes: bytesOf('front.mp4'), name: 'front.mp4', expected })).toBeNull();
    expect(await faultOf({ bytes: bytesOf('a.mp4'), name: 'a.mp4', expected })).toBe('no_sound');
    expect(await faultOf({ bytes: bytesOf('a.webm'), name: 'a.webm', expected })).toBe('no_sound');
  });

  test.each(SOUNDS)('%s is compared with how long it should be', async (name) => {
    const bytes = bytesOf(name);
    expect(await faultOf({ bytes, name, expected: { durationSeconds: 2 } })).toBeNull();
    expect(await faultOf({ bytes, name, expected: { durationSeconds: 3 } })).toBe('wrong_duration');
  });

  test('R4.4 a video below 10 KB is believed when it was decoded, and only then', async () => {
    const path = join(folder, 'small.mp4');
    makeMedia(...movingPicture('64x48', 0.5), ...H264, path);
    const bytes = readFileSync(path);
    expect(bytes.length).toBeLessThan(10_000);
    const asked = { bytes, name: 'a.mp4', expected: { widthPx: 64, heightPx: 48, frames: 12 } } as const;
    expect(await faultOf(asked)).toBeNull();
    expect(await faultOf({ ...asked, ffmpegPath: null })).toBe('too_small');
  });
});

test('a cancelled inspection is no verdict', async () => {
  const aborted = AbortSignal.abort(new Error('cancelled'));
  await expect(inspected({ bytes: bytesOf('a.mp4'), name: 'a.mp4', signal: aborted })).rejects.toThrow('cancelled');
});

test('a program that was killed is no verdict', async () => {
  const killed = join(folder, 'killed');
  writeFileSync(killed, '#!/bin/sh\nkill -9 $$\n', { mode: 0o755 });
  await expect(inspected({ bytes: bytesOf('a.mp4'), name: 'a.mp4', ffmpegPath: killed })).rejects.toThrow('killed');
});

test('a program that is gone is no verdict', async () => {
  const missing = join(folder, 'no-such-program');
  await expect(inspected({ bytes: bytesOf('a.mp4'), name: 'a.mp4', ffmpegPath: missing })).rejects.toThrow('ENOENT');
});
