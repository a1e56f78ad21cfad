import { join } from 'node:path';
import { projectRoot } from './project-root.js';

/** Where the build puts a program of ours, by the path of its source without `.ts`: `workers/main`. */
export function programPath(name: string): string {
  return join(projectRoot, 'dist', 'bin', `${name}.js`);
}
