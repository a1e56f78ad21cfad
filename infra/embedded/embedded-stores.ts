import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { ConfigError, stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import type { DataFolder } from './data-folder.js';
import { findProgram, findProgramUnbuilt } from './programs/find-program.js';
import { MINIO, VERSITYGW } from './programs/known-programs.js';
import type { KnownProgram } from './programs/known-programs.js';
import type { ProgramSearch } from './programs/program-search.js';

/** The S3 servers that can be started here. They keep their objects apart, each in a folder of its name. */
const STORES = { minio: MINIO, versitygw: VERSITYGW } as const;

export type StoreName = keyof typeof STORES;

/** The S3 server of a data folder, and where its program is. */
export interface FoundStore {
  readonly name: StoreName;
  readonly program: string;
}

/** `OBJECT_STORE`: the S3 server that is started where `S3_ENDPOINT` names none; `null`: it is chosen here. */
export function storeNameFrom(env: Env): StoreName | null {
  const text = stringFrom(env, 'OBJECT_STORE', '');
  if (text === '') return null;
  if (isStoreName(text)) return text;
  const allowed = Object.keys(STORES).join(' or ');
  throw new ConfigError(`OBJECT_STORE is "${text}", but must be ${allowed}; for any other S3 server set S3_ENDPOINT`);
}

function isStoreName(text: string): text is StoreName {
  return Object.hasOwn(STORES, text);
}

/** The programs of both stores; tests have others. */
export type StorePrograms = Readonly<Record<StoreName, KnownProgram>>;

/**
 * `OBJECT_STORE`, else the store that this data folder has, else MinIO. Where MinIO could only be built, versitygw is taken,
 * which builds in half the time. The data folder keeps that choice, because MinIO would lack its objects.
 */
export async function findStore(
  folder: DataFolder,
  search: ProgramSearch,
  programs: StorePrograms = STORES,
): Promise<FoundStore> {
  const given = storeNameFrom(search.env) ?? storeOf(folder);
  if (given !== null) return { name: given, program: await findProgram(programs[given], search) };
  const minio = await findProgramUnbuilt(programs.minio, search);
  if (minio !== null) return { name: 'minio', program: minio };
  search.report.say(
    'MinIO could only be built here. versitygw, which builds in half the time, becomes the object store of this data folder. ' +
      'Set OBJECT_STORE=minio to build MinIO instead',
  );
  const program = await findProgram(programs.versitygw, search);
  remember(folder, 'versitygw');
  return { name: 'versitygw', program };
}

const rememberedSchema = z.object({ store: z.enum(['minio', 'versitygw']) });

function storeOf(folder: DataFolder): StoreName | null {
  const path = pathOf(folder);
  if (existsSync(path)) return rememberedSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).store;
  return (['minio', 'versitygw'] as const).find((name) => existsSync(folder.path(name))) ?? null;
}

function remember(folder: DataFolder, store: StoreName): void {
  const path = pathOf(folder);
  writeFileSync(`${path}.new`, JSON.stringify({ store }));
  renameSync(`${path}.new`, path);
}

function pathOf(folder: DataFolder): string {
  return folder.path('object-store.json');
}
