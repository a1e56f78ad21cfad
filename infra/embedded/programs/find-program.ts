import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, stringFrom } from '../../runtime/env.js';
import { EmbeddedError } from '../embedded-error.js';
import { acquireProcessLock } from '../processes/process-lock.js';
import { buildProgram } from './build-program.js';
import { downloadProgram } from './download-program.js';
import type { KnownProgram } from './known-programs.js';
import { cachedPathOf, programCacheOf } from './program-search.js';
import type { ProgramSearch } from './program-search.js';
import { objectionToProgram } from './program-version.js';

const LOOK_AGAIN_MS = 1_000;

/** The program's path: configured, in PATH, in the cache, downloaded, or built with Go, in this order. */
export async function findProgram(program: KnownProgram, search: ProgramSearch): Promise<string> {
  const found = (await configured(program, search)) ?? (await inPath(program, search)) ?? inCache(program, search);
  return found ?? underLock(program, search);
}

async function configured(program: KnownProgram, { env }: ProgramSearch): Promise<string | null> {
  const path = stringFrom(env, program.pathVariable, '');
  if (path === '') return null;
  const objection = await objectionToProgram(program, path);
  if (objection !== null) throw new ConfigError(`${program.pathVariable} is "${path}", which ${objection}`);
  return path;
}

async function inPath(program: KnownProgram, { env, report }: ProgramSearch): Promise<string | null> {
  for (const folder of stringFrom(env, 'PATH', '').split(delimiter)) {
    const path = join(folder, program.name);
    if (folder === '' || !isExecutable(path)) continue;
    const objection = await objectionToProgram(program, path);
    if (objection === null) return path;
    report.say(`${path} is passed over: it ${objection}`);
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function inCache(program: KnownProgram, { env }: ProgramSearch): string | null {
  const paths = [program.goVersion, program.release.version].map((version) => cachedPathOf(env, program, version));
  return paths.find((path) => existsSync(path)) ?? null;
}

/** One process fetches or builds; another that needs the same program waits for it. */
async function underLock(program: KnownProgram, search: ProgramSearch): Promise<string> {
  mkdirSync(programCacheOf(search.env), { recursive: true });
  for (;;) {
    const lock = acquireProcessLock(join(programCacheOf(search.env), `${program.name}.lock`));
    if (!lock.held) {
      search.report.progress(`Waiting for process ${lock.holderPid}, which is getting ${program.name}`);
      await delay(LOOK_AGAIN_MS, undefined, { signal: search.signal });
      continue;
    }
    try {
      return inCache(program, search) ?? (await downloadedOrBuilt(program, search));
    } finally {
      lock.release();
    }
  }
}

async function downloadedOrBuilt(program: KnownProgram, search: ProgramSearch): Promise<string> {
  const objections: string[] = [];
  for (const way of [
    { version: program.release.version, get: downloadProgram },
    { version: program.goVersion, get: buildProgram },
  ]) {
    const scratch = mkdtempSync(join(programCacheOf(search.env), `.${program.name}-`));
    try {
      const made = await way.get(program, { ...search, scratch });
      const objection = await objectionToProgram(program, made);
      if (objection !== null) throw new EmbeddedError(`what was got ${objection}`);
      return intoCache(made, cachedPathOf(search.env, program, way.version));
    } catch (error) {
      search.signal.throwIfAborted();
      const objection = error instanceof Error ? error.message : String(error);
      search.report.say(`That did not work: ${objection}`);
      objections.push(objection);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
  throw nothingToBeHad(program, objections);
}

/** Renamed within one file system, so nobody ever sees half a program. */
function intoCache(made: string, path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  renameSync(made, path);
  return path;
}

function nothingToBeHad(program: KnownProgram, objections: readonly string[]): EmbeddedError {
  const { name, pathVariable, addressVariable } = program;
  return new EmbeddedError(
    [
      `The program "${name}" is not here and could not be got:`,
      `  - it is neither in ${pathVariable}, nor in PATH, nor in the cache`,
      ...objections.map((objection) => `  - ${objection}`),
      'What helps:',
      `  - install Go 1.24 or newer (then it is built here, once), or put "${name}" in PATH or its path in ${pathVariable}`,
      ...(addressVariable === null
        ? []
        : [`  - set ${addressVariable} to a server that is running already; then "${name}" is not needed`]),
    ].join('\n'),
  );
}
