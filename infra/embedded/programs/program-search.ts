import { homedir } from 'node:os';
import { join } from 'node:path';
import { stringFrom } from '../../runtime/env.js';
import type { Env } from '../../runtime/env.js';
import type { Reporter } from '../reporter.js';
import type { KnownProgram } from './known-programs.js';

/** What looking for a program needs to know. */
export interface ProgramSearch {
  readonly env: Env;
  readonly report: Reporter;
  readonly signal: AbortSignal;
}

/** A search with a folder of its own for unfinished files. */
export interface ScratchSearch extends ProgramSearch {
  readonly scratch: string;
}

/** Programs outlive checkouts: building one takes minutes. */
export function programCacheOf(env: Env): string {
  const cache = stringFrom(env, 'XDG_CACHE_HOME', join(stringFrom(env, 'HOME', homedir()), '.cache'));
  return join(cache, 'durable-comfy', 'programs');
}

export function cachedPathOf(env: Env, program: KnownProgram, version: string): string {
  return join(programCacheOf(env), `${program.name}-${version}`, program.name);
}

/** The lock that lets one process at a time get a program. */
export function lockPathOf(env: Env, name: string): string {
  return join(programCacheOf(env), `${name}.lock`);
}
