import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { projectRoot } from '../runtime/project-root.js';

/** Where everything lies that must outlive a restart. */
export interface DataFolder {
  readonly root: string;
  /** Process ids of what is running, and the lock against a second start. */
  readonly run: string;
  readonly logs: string;
  path(...names: readonly string[]): string;
}

/** `DATA_DIR`, or `.data` in the project. */
export function dataDirFrom(env: Env): string {
  return stringFrom(env, 'DATA_DIR', join(projectRoot, '.data'));
}

/** The data folder at this path; it is made when it is missing. */
export function dataFolderAt(path: string): DataFolder {
  const root = resolve(path);
  const folder: DataFolder = {
    root,
    run: join(root, 'run'),
    logs: join(root, 'logs'),
    path: (...names) => join(root, ...names),
  };
  for (const each of [root, folder.run, folder.logs]) mkdirSync(each, { recursive: true });
  return folder;
}
