import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { projectRoot } from '../../infra/runtime/project-root.js';

export interface SmallProject {
  readonly root: string;
  readonly write: (path: string, text: string) => void;
  /** Replaces the compiler by one that always fails, until it is called with `false`. */
  readonly breakCompiler: (isBroken: boolean) => void;
  readonly remove: () => void;
}

/** A project with our scripts and our packages and a few sources of its own. */
export function createSmallProject(files: Readonly<Record<string, string>>): SmallProject {
  const root = mkdtempSync(join(tmpdir(), 'small-project-'));
  const packages = join(root, 'node_modules');
  const compiler = join(packages, 'esbuild');
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const link = (name: string) => {
    symlinkSync(join(projectRoot, 'node_modules', name), join(packages, name));
  };
  for (const name of ['scripts', 'tsconfig.json', 'package.json', 'package-lock.json']) {
    cpSync(join(projectRoot, name), join(root, name), { recursive: true });
  }
  mkdirSync(packages);
  readdirSync(join(projectRoot, 'node_modules')).forEach(link);
  for (const [path, text] of Object.entries(files)) write(path, text);
  return {
    root,
    write,
    breakCompiler: (isBroken) => {
      rmSync(compiler, { recursive: true, force: true });
      if (!isBroken) {
        link('esbuild');
        return;
      }
      write('node_modules/esbuild/package.json', '{"type":"module","exports":"./index.js"}');
      write(
        'node_modules/esbuild/index.js',
        "export const build = async () => { throw new Error('broken compiler'); };",
      );
    },
    remove: () => {
      rmSync(root, { recursive: true, force: true });
    },
  };
}
