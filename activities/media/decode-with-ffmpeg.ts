import { execFile } from 'node:child_process';
import { promisify, types } from 'node:util';
import { MediaFaultError } from './media-verdict.js';

const run = promisify(execFile);
/** A film of an hour takes minutes; what takes longer hangs. */
const DECODE_MS = 30 * 60_000;
const MAX_OUTPUT_BYTES = 64 * 1024;
const MAX_DETAIL_CHARACTERS = 300;

/**
 * Decodes all pictures and sounds and stops at the first that is damaged, which no look at the container finds
 * (measured: 2 kB of zeros inside `mdat`). One core; the network is closed to it. Throws `MediaFaultError`.
 */
export async function decodeWithFfmpeg(ffmpegPath: string, path: string, signal: AbortSignal): Promise<void> {
  const input = [
    '-protocol_whitelist',
    'file',
    '-err_detect',
    'crccheck+bitstream+buffer',
    '-threads',
    '1',
    '-i',
    path,
  ];
  const args = ['-nostdin', '-hide_banner', '-v', 'error', '-xerror', ...input, '-map', '0', '-f', 'null', '-'];
  try {
    const { stderr } = await run(ffmpegPath, args, {
      ...{ signal, timeout: DECODE_MS, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES },
    });
    if (stderr !== '') throw damaged(stderr, path);
  } catch (error) {
    signal.throwIfAborted();
    if (!hasJudged(error)) throw error;
    throw damaged(error.stderr, path);
  }
}

function damaged(said: string, path: string): MediaFaultError {
  const detail = said.replaceAll(path, 'the file').trim().slice(0, MAX_DETAIL_CHARACTERS);
  return new MediaFaultError('undecodable', `ffmpeg: ${detail}`);
}

/** It ended by itself, or had more to complain of than fits. One that is gone, killed or out of time has judged nothing. */
function hasJudged(error: unknown): error is { readonly stderr: string } {
  if (!types.isNativeError(error) || !('stderr' in error) || !('code' in error)) return false;
  return typeof error.code === 'number' || error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER';
}
