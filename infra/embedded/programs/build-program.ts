import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { EmbeddedError } from '../embedded-error.js';
import { packagesInWords } from './estimate.js';
import type { GoBuild, KnownProgram } from './known-programs.js';
import type { ScratchSearch } from './program-search.js';

const REPORT_EVERY_MS = 1_000;
const TAIL_LINES = 8;

interface Progress {
  downloads: number;
  packages: number;
  compilingSinceMs: number;
  readonly tail: string[];
}

/** `go install` of the pinned version into the scratch folder. */
export async function buildProgram({ name, goBuild }: KnownProgram, search: ScratchSearch): Promise<string> {
  const { module, version, tags } = goBuild;
  const go = spawn('go', ['install', '-v', ...(tags === undefined ? [] : ['-tags', tags]), `${module}@${version}`], {
    env: { ...search.env, GOBIN: search.scratch },
    stdio: ['ignore', 'ignore', 'pipe'],
    signal: search.signal,
    killSignal: 'SIGINT', // Go then stops its compilers, too
  });
  go.once('spawn', () => {
    search.report.say(`Building ${name} ${version} with Go, once`);
  });
  const progress = follow(go.stderr);
  const timer = setInterval(() => {
    search.report.progress(name, inWords(goBuild, progress));
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
  const progress: Progress = { downloads: 0, packages: 0, compilingSinceMs: 0, tail: [] };
  createInterface({ input: stderr }).on('line', (line) => {
    if (line.startsWith('go: downloading')) progress.downloads += 1;
    else if (!line.includes(' ')) {
      progress.packages += 1;
      if (progress.packages === 1) progress.compilingSinceMs = Date.now();
    }
    progress.tail.push(line);
    if (progress.tail.length > TAIL_LINES) progress.tail.shift();
  });
  return progress;
}

function inWords({ packages: total }: GoBuild, { downloads, packages, compilingSinceMs }: Progress): string {
  if (packages === 0) return `downloaded ${downloads} sources`;
  return packagesInWords(packages, total, Date.now() - compilingSinceMs);
}

function goMissing(error: Error): string {
  return 'code' in error && error.code === 'ENOENT' ? 'Go is not installed' : `Go does not run: ${error.message}`;
}
