import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** `npm run bench` runs compiled files of `test/`. Jest compiles the tests itself. */
export const SOURCE_FOLDERS = [
  'workflows',
  'activities',
  'workers',
  'api',
  'cli',
  'infra',
  'test/bench',
  'test/support',
];

/**
 * The SHA-256 of each source by its path, and one SHA-256 of all other inputs of the build. Hashes are compared instead of
 * file times, because another checkout of the same commit has other times.
 */
export function readSources(root) {
  const sources = new Map();
  for (const folder of SOURCE_FOLDERS) {
    for (const path of filesBelow(root, folder)) {
      if (path.endsWith('.ts') && !path.endsWith('.test.ts')) sources.set(path, sha256(readFileSync(join(root, path))));
    }
  }
  const settings = ['tsconfig.json', 'package-lock.json', ...filesBelow(root, 'scripts/build')];
  const texts = settings.map((path) => readFileSync(join(root, path), 'utf8'));
  return { sources, tools: sha256([process.version, ...texts].join('\n')) };
}

/** The paths of all files in a folder, relative to the root, in a fixed order. */
export function filesBelow(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

export function sha256(content) {
  return createHash('sha256').update(content).digest('hex');
}
