import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const EMPTY = { sources: {}, workflows: null, programs: {} };

/** Opens the record of the sources of `dist/`. Other tools (packages, compiler settings, Node, these scripts) make all of it obsolete. */
export function openRecord(dist, tools) {
  const last = readRecord(dist);
  let current = last.tools === tools ? last : { ...EMPTY, tools };
  return {
    get: () => current,
    /** Notes one part as changed. A step forgets its part before it writes, so that a build which breaks off is repeated. */
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
