import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installedFfmpeg } from '../../infra/runtime/installed-ffmpeg.js';
import { CliError } from './cli-error.js';

const FFMPEG = installedFfmpeg() ?? 'ffmpeg';
const WITHIN_MS = 60_000;

/** The file that ffmpeg makes of these arguments. */
export async function makeWithFfmpeg({
  args,
  extension,
}: {
  readonly args: readonly string[];
  readonly extension: string;
}): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'template-media-'));
  try {
    const path = join(folder, `made.${extension}`);
    await run(['-hide_banner', '-nostdin', '-v', 'error', '-y', ...args, path]);
    return await readFile(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function run(args: readonly string[]): Promise<void> {
  const child = spawn(FFMPEG, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: WITHIN_MS });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      reject(new CliError(`ffmpeg is needed for videos, but cannot be started: ${error.message}`));
    });
    child.once('close', resolve);
  });
  if (code !== 0) throw new CliError(`ffmpeg failed: ${said.join('').trim()}`);
}
