import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './project-root.js';

/** Which code is running (R3.8): said at start by every process and in `/livez`. */
export interface VersionInfo {
  readonly version: string;
  /** Git commit that was built, `unknown` outside a checkout. */
  readonly commit: string;
}

/** Read once: `version` from package.json, `commit` from what the build wrote. */
export const versionInfo: VersionInfo = {
  version: field(join(projectRoot, 'package.json'), 'version'),
  commit: field(join(projectRoot, 'dist', 'build-info.json'), 'commit'),
};

function field(path: string, name: string): string {
  if (!existsSync(path)) return 'unknown';
  const document: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof document !== 'object' || document === null || !(name in document)) return 'unknown';
  const value: unknown = Object.entries(document).find(([key]) => key === name)?.[1];
  return typeof value === 'string' ? value : 'unknown';
}
