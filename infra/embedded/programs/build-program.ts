import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { EmbeddedError } from '../embedded-error.js';
import type { KnownProgram } from './known-programs.js';
import type { ProgramSearch } from './program-search.js';

const REPORT_EVERY_MS = 1_000;
const TAIL_LINES = 8;

interface Progress {
  downloads: number;
  packages: number;
  readonly tail: string[];
}

/** `go install` of the pinned version into the scratch folder. */
export async function buildProgram(
  program: KnownProgram,
  search: ProgramSearch & { readonly scratch: string },
): Promise<string> {
  const { name, goModule, goVersion, goTags, usualMinutes } = program;
  const startedAt = Date.now();
  const go = spawn(
    'go',
    ['install', '-v', ...(goTags === undefined ? [] : ['-tags', goTags]), `${goModule}@${goVersion}`],
    {
      env: { ...search.env, GOBIN: search.scratch },
      stdio: ['ignore', 'ignore', 'pipe'],
      signal: search.signal,
      killSignal: 'SIGINT', // Go then stops its compilers, too
    },
  );
  go.once('spawn', () => {
    search.report.say(`Building ${name} ${goVersion} with Go, once; this usually takes about ${usualMinutes} minutes`);
  });
  const progress = follow(go.stderr);
  const timer = setInterval(() => {
    search.report.progress(inWords(program, progress, Date.now() - startedAt));
  }, REPORT_EVERY_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      go.once('error', (error) => {
        reject(new EmbeddedError(goMissing(error)));
      });
      go.once('close', (code) => {
        if (code === 0) resolve();
        else
          reject(new EmbeddedError(`"go install" failed (exit code ${code ?? 'none'}): ${progress.tail.join(' | ')}`));
      });
    });
  } finally {
    clearInterval(timer);
  }
  return join(search.scratch, name);
}

/** With `-v` Go names each source it downloads and each package it compiles; what its cache has is not named. */
function follow(stderr: Readable): Progress {
  const progress: Progress = { downloads: 0, packages: 0, tail: [] };
  createInterface({ input: stderr }).on('line', (line) => {
    if (line.startsWith('go: downloading')) progress.downloads += 1;
    else if (!line.includes(' ')) progress.packages += 1;
    progress.tail.push(line);
    if (progress.tail.length > TAIL_LINES) progress.tail.shift();
  });
  return progress;
}

function inWords(program: KnownProgram, progress: Progress, elapsedMs: number): string {
  const seconds = Math.floor(elapsedMs / 1000);
  const usual = seconds > program.usualMinutes * 60 ? 'more than the usual' : 'usually about';
  const elapsed = `${Math.floor(seconds / 60)} m ${seconds % 60} s so far, ${usual} ${program.usualMinutes} minutes`;
  const state =
    progress.packages === 0
      ? `${progress.downloads} sources downloaded`
      : `${progress.packages} of at most ${program.goPackages} packages compiled`;
  return `Building ${program.name} with Go: ${elapsed}; ${state}`;
}

function goMissing(error: Error): string {
  return 'code' in error && error.code === 'ENOENT' ? 'Go is not installed' : `Go does not run: ${error.message}`;
}
