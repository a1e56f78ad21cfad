import { execFile } from 'node:child_process';
import { chmodSync, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { EnvHttpProxyAgent, fetch } from 'undici';
import type { Response } from 'undici';
import { stringFrom } from '../../runtime/env.js';
import type { Env } from '../../runtime/env.js';
import { EmbeddedError } from '../embedded-error.js';
import type { KnownProgram } from './known-programs.js';
import type { ProgramSearch } from './program-search.js';
import { abortAfter } from '../../runtime/abort-after.js';

const CONNECT_TIMEOUT_MS = 5_000;
const DEADLINE_MS = 5 * 60_000;
const LIMIT_BYTES = 400 * 1024 * 1024;
const MEGABYTE = 1_000_000;

/** The official release for this machine, unpacked in the scratch folder. */
export async function downloadProgram(
  program: KnownProgram,
  search: ProgramSearch & { readonly scratch: string },
): Promise<string> {
  const url = urlOf(program, search.env);
  const dispatcher = dispatcherFor(search.env);
  search.report.say(`Downloading ${program.name} ${program.release.version} from ${url.origin}`);
  try {
    const file = join(search.scratch, program.release.pathInArchive === null ? program.name : 'archive.tar.gz');
    const onProgress = (done: string) => search.report.progress(`${program.name}: ${done}`);
    await abortAfter(DEADLINE_MS, [search.signal], async (signal) =>
      save(await fetch(url, { dispatcher, signal }), { file, signal, onProgress }),
    );
    return await unpacked(program, { file, scratch: search.scratch });
  } catch (error) {
    throw new EmbeddedError(`the download from ${url.origin} failed: ${reasonOf(error)}`, { cause: error });
  } finally {
    await dispatcher.destroy();
  }
}

/** `DOWNLOAD_ORIGIN` replaces the official hosts by a mirror with the same paths. */
function urlOf(program: KnownProgram, env: Env): URL {
  const official = program.release.url(process.platform, process.arch);
  const origin = stringFrom(env, 'DOWNLOAD_ORIGIN', '');
  return origin === '' ? new URL(official) : new URL(new URL(official).pathname, origin);
}

function dispatcherFor(env: Env): EnvHttpProxyAgent {
  const either = (name: string) => stringFrom(env, name, stringFrom(env, name.toLowerCase(), ''));
  return new EnvHttpProxyAgent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    httpProxy: either('HTTP_PROXY'),
    httpsProxy: either('HTTPS_PROXY'),
    noProxy: either('NO_PROXY'),
  });
}

interface Saving {
  readonly file: string;
  readonly signal: AbortSignal;
  readonly onProgress: (done: string) => void;
}

async function save(response: Response, { file, signal, onProgress }: Saving): Promise<void> {
  if (!response.ok || response.body === null) throw new EmbeddedError(`HTTP ${response.status}`);
  const announced = Number(response.headers.get('content-length') ?? 0);
  let received = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      const total = announced > 0 ? ` of ${Math.round(announced / MEGABYTE)}` : '';
      onProgress(`${Math.round(received / MEGABYTE)}${total} MB downloaded`);
      done(received > LIMIT_BYTES ? new EmbeddedError(`more than ${LIMIT_BYTES} bytes`) : null, chunk);
    },
  });
  await pipeline(Readable.fromWeb(response.body), counter, createWriteStream(file), { signal });
  if (announced > 0 && received !== announced) throw new EmbeddedError(`${received} of ${announced} bytes arrived`);
}

async function unpacked(program: KnownProgram, where: { file: string; scratch: string }): Promise<string> {
  const member = program.release.pathInArchive?.(process.platform, process.arch) ?? null;
  if (member !== null) await promisify(execFile)('tar', ['-xzf', where.file, '-C', where.scratch, member]);
  const path = join(where.scratch, member ?? program.name);
  chmodSync(path, 0o755);
  return path;
}

/** `fetch failed` says nothing; what lies below it does. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof AggregateError) return cause.errors.map(String).join(', ');
  return cause instanceof Error ? cause.message : error.message;
}
