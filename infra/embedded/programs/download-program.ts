import { execFile } from 'node:child_process';
import { chmodSync, createWriteStream } from 'node:fs';
import { basename, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { Dispatcher } from 'undici';
import { abortAfter } from '../../runtime/abort-after.js';
import { stringFrom } from '../../runtime/env.js';
import type { Env } from '../../runtime/env.js';
import { EmbeddedError } from '../embedded-error.js';
import { checksumFor, ensureChecksum } from './checksum.js';
import { megabytesInWords } from './estimate.js';
import { fetchSafely } from './fetch-safely.js';
import type { KnownProgram } from './known-programs.js';
import type { ScratchSearch } from './program-search.js';

const DEADLINE_MS = 5 * 60_000;
const LIMIT_BYTES = 400 * 1024 * 1024;

/** Downloads the official release for this machine, checks it and unpacks it in the scratch folder. */
export async function downloadProgram(program: KnownProgram, search: ScratchSearch): Promise<string> {
  const { version, sha256 } = program.release;
  const expected = checksumFor(sha256, `the official ${program.name} ${version}`);
  const url = urlOf(program, search.env);
  search.report.say(`Downloading ${program.name} ${version} from ${url.origin}`);
  const file = join(search.scratch, basename(url.pathname));
  const onProgress = (done: string) => search.report.progress(program.name, done);
  try {
    await abortAfter(DEADLINE_MS, [search.signal], async (signal) =>
      fetchSafely(url, { env: search.env, signal }, async (response) => save(response, { file, signal, onProgress })),
    );
    await ensureChecksum(file, expected);
    return await unpacked(program, { file, scratch: search.scratch });
  } catch (error) {
    throw new EmbeddedError(`the download from ${url.origin} failed: ${reasonOf(error)}`, { cause: error });
  }
}

/** `DOWNLOAD_ORIGIN` replaces the official hosts by a mirror with the same paths. */
function urlOf(program: KnownProgram, env: Env): URL {
  const official = program.release.url(process.platform, process.arch);
  const origin = stringFrom(env, 'DOWNLOAD_ORIGIN', '');
  return origin === '' ? new URL(official) : new URL(new URL(official).pathname, origin);
}

interface Saving {
  readonly file: string;
  readonly signal: AbortSignal;
  readonly onProgress: (done: string) => void;
}

async function save(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  { file, signal, onProgress }: Saving,
): Promise<void> {
  if (statusCode !== 200) throw new EmbeddedError(`HTTP ${statusCode}`);
  const announced = Number(headers['content-length'] ?? 0);
  const startedAt = Date.now();
  let received = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      onProgress(megabytesInWords(received, announced, Date.now() - startedAt));
      done(received > LIMIT_BYTES ? new EmbeddedError(`more than ${LIMIT_BYTES} bytes`) : null, chunk);
    },
  });
  await pipeline(body, counter, createWriteStream(file), { signal });
  if (announced > 0 && received !== announced) throw new EmbeddedError(`${received} of ${announced} bytes arrived`);
}

async function unpacked(program: KnownProgram, { file, scratch }: { file: string; scratch: string }): Promise<string> {
  const member = program.release.pathInArchive?.(process.platform, process.arch) ?? null;
  if (member !== null) await promisify(execFile)('tar', ['-xzf', file, '-C', scratch, member]);
  const path = member === null ? file : join(scratch, member);
  chmodSync(path, 0o755);
  return path;
}

/** A name with several addresses fails once for each. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(String).join(', ');
  return error instanceof Error ? error.message : String(error);
}
