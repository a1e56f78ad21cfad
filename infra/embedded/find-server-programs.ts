import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import type { DataFolder } from './data-folder.js';
import { findStore } from './embedded-stores.js';
import type { FoundStore } from './embedded-stores.js';
import { findProgram } from './programs/find-program.js';
import { TEMPORAL } from './programs/known-programs.js';
import type { ProgramSearch } from './programs/program-search.js';

/** The programs of the servers to start; `null`: the environment names a running server. */
export interface ServerPrograms {
  readonly temporal: string | null;
  readonly store: FoundStore | null;
}

/** The servers that the environment does not name. */
export function missingServers(env: Env): Readonly<Record<'postgres' | 'temporal' | 'store', boolean>> {
  const areUnset = (...names: readonly string[]) => names.every((name) => stringFrom(env, name, '') === '');
  return {
    postgres: areUnset('DATABASE_URL'),
    temporal: areUnset('TEMPORAL_ADDRESS', 'TEMPORAL_CONFIG_FILE', 'TEMPORAL_PROFILE'),
    store: areUnset('S3_ENDPOINT'),
  };
}

/** Finds the program of each missing server, at the same time. The first failure stops the other search. */
export async function findServerPrograms(folder: DataFolder, search: ProgramSearch): Promise<ServerPrograms> {
  const missing = missingServers(search.env);
  const failed = new AbortController();
  const both: ProgramSearch = { ...search, signal: AbortSignal.any([search.signal, failed.signal]) };
  const stopOther = (error: unknown): never => {
    failed.abort(error);
    throw error;
  };
  const [temporal, store] = await Promise.allSettled([
    missing.temporal ? findProgram(TEMPORAL, both).catch(stopOther) : null,
    missing.store ? findStore(folder, both).catch(stopOther) : null,
  ]);
  if (temporal.status === 'rejected') throw temporal.reason;
  if (store.status === 'rejected') throw store.reason;
  return { temporal: temporal.value, store: store.value };
}
