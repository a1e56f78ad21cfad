import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';

/** A project of one Workflow with our build and our packages. */
const project = mkdtempSync(join(tmpdir(), 'build-'));
const compiler = join(project, 'node_modules', 'typescript');

beforeAll(() => {
  for (const folder of ['workflows', 'activities', 'workers', 'api', 'cli', 'infra', 'scripts', 'node_modules']) {
    mkdirSync(join(project, folder));
  }
  for (const file of [
    'scripts/build.mjs',
    'scripts/bundle-programs.mjs',
    'tsconfig.json',
    'tsconfig.build.json',
    'package.json',
    'package-lock.json',
  ]) {
    cpSync(join(projectRoot, file), join(project, file));
  }
  for (const name of readdirSync(join(projectRoot, 'node_modules'))) {
    symlinkSync(join(projectRoot, 'node_modules', name), join(project, 'node_modules', name));
  }
});

afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

function build(answer: string): number | null {
  const source = `export async function answer(): Promise<string> {\n  return 'the ${answer} answer';\n}\n`;
  writeFileSync(join(project, 'workflows', 'index.ts'), source);
  return spawnSync(process.execPath, [join(project, 'scripts', 'build.mjs')]).status;
}

const built = () => readFileSync(join(project, 'dist', 'workflow-bundle.js'), 'utf8');

test('what was built already is not compiled again, and any change of a source is', () => {
  expect(build('first')).toBe(0);
  expect(built()).toContain('the first answer');

  rmSync(compiler); // who compiles now fails
  expect(build('first')).toBe(0);
  expect(build('second')).toBe(1);
  expect(build('first')).toBe(1); // the build that failed may have left anything in dist/

  symlinkSync(join(projectRoot, 'node_modules', 'typescript'), compiler);
  expect(build('third')).toBe(0);
  expect(built()).toContain('the third answer');
  expect(built()).not.toContain('the first answer');
}, 180_000);
