import { readFileSync, renameSync, writeFileSync } from 'node:fs';
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
      const path = join(dist, 'built.json');
      const unfinished = `${path}.${process.pid}`;
      writeFileSync(unfinished, JSON.stringify(current));
      renameSync(unfinished, path); // atomic: `npm run dev` reads it while another build may write it
    },
  };
}

/** The record of the last build. It is empty before the first build, and when a full disk or a crash left half a record. */
export function readRecord(dist) {
  try {
    return JSON.parse(readFileSync(join(dist, 'built.json'), 'utf8'));
  } catch {
    return EMPTY;
  }
}
