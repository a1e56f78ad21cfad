import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const EMPTY = { sources: {}, workflows: null, programs: {} };

/** Opens the record of the sources of `dist/`. A change of packages, compiler settings, Node or these scripts empties it. */
export function openRecord(dist, tools) {
  const last = readRecord(dist);
  let current = last.tools === tools ? last : { ...EMPTY, tools };
  return {
    get: () => current,
    /** Replaces one part. A step clears its part before it writes, so that the next build repeats a step that was interrupted. */
    change(part) {
      current = { ...current, ...part };
      writeFileSync(join(dist, 'built.json'), JSON.stringify(current));
    },
  };
}

/** The record of the last build; an empty one before the first. */
export function readRecord(dist) {
  const path = join(dist, 'built.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : EMPTY;
}
