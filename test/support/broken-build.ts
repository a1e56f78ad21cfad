import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../infra/runtime/project-root.js';

/** One line of a build of ours, and what stands there instead. */
export interface Breakage {
  /** Below `dist/`. */
  readonly file: string;
  readonly line: string;
  readonly instead: string;
}

/** A copy of the build that is broken in one place: production code carries no switch for it. */
export function breakBuild({ file, line, instead }: Breakage): { readonly dist: string; readonly remove: () => void } {
  const folder = join(projectRoot, '.data', 'broken-builds');
  mkdirSync(folder, { recursive: true });
  const dist = mkdtempSync(join(folder, 'dist-')); // below the project, where packages are found
  const bundles = join(projectRoot, 'dist', 'bin');
  cpSync(join(projectRoot, 'dist'), dist, { recursive: true, filter: (source) => source !== bundles });
  const path = join(dist, file);
  const [before, after, ...more] = readFileSync(path, 'utf8').split(line);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${file} must have this line exactly once: ${line}`);
  }
  writeFileSync(path, `${before}${instead}${after}`);
  return {
    dist,
    remove: () => {
      rmSync(dist, { recursive: true, force: true });
    },
  };
}
