import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';

/** A project with one tier, which real Jest runs with the real reporter. */
let project = '';
const names = () => readFileSync(join(project, 'test', 'names', 'small.txt'), 'utf8');

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'tier-'));
  mkdirSync(join(project, 'test'));
  const config = {
    rootDir: project,
    reporters: [join(projectRoot, 'test', 'support', 'tier-reporter.mjs')],
    projects: [{ displayName: 'small', rootDir: project, testMatch: ['<rootDir>/test/**/*.test.js'], transform: {} }],
  };
  writeFileSync(join(project, 'jest.config.json'), JSON.stringify(config));
  writeFileSync(join(project, 'package.json'), '{}');
});

afterEach(() => {
  rmSync(project, { recursive: true, force: true });
});

function tests(source: string): void {
  writeFileSync(join(project, 'test', 'a.test.js'), source);
}

function run(...args: readonly string[]) {
  const jest = join(projectRoot, 'node_modules', 'jest', 'bin', 'jest.js');
  const env = { PATH: process.env['PATH'], TMPDIR: project };
  const { status, stdout, stderr } = spawnSync(process.execPath, [jest, '--ci=false', ...args], {
    ...{ cwd: project, env, encoding: 'utf8' },
  });
  return { status, said: stdout + stderr };
}

test('a tier that executes no test fails', () => {
  tests(`test.skip('later', () => {});`);
  const { status, said } = run();
  expect(said).toContain('The tier small executed no test');
  expect(status).toBe(1);
  tests(`test('now', () => {});`);
  expect(run().status).toBe(0);
});

test('new names are written down outside CI, and are an error in CI', () => {
  tests(`test('one', () => {});`);
  const inCi = run('--ci=true');
  expect(inCi.status).toBe(1);
  expect(inCi.said).toContain('1 tests of the tier small are not in test/names/small.txt:\n  test/a.test.js › one');
  expect(existsSync(join(project, 'test', 'names'))).toBe(false);
  expect(run().status).toBe(0);
  expect(names()).toBe('test/a.test.js › one\n');
  expect(run('--ci=true').status).toBe(0);
});

test('a lost test fails a whole run, until the list is changed on purpose; a part of a tier loses nothing', () => {
  tests(`test('one', () => {}); test.each([1, 1])('twice %s', () => {});`);
  expect(run().status).toBe(0);
  tests(`test('one', () => {}); test.each([1])('twice %s', () => {});`);
  const { status, said } = run();
  expect(status).toBe(1);
  expect(said).toContain(
    '1 tests of test/names/small.txt were not found in the tier small:\n  test/a.test.js › twice 1',
  );
  expect(run('-t', 'one').status).toBe(0);
  expect(run('test/a').status).toBe(0);
  expect(names()).toBe('test/a.test.js › one\ntest/a.test.js › twice 1\ntest/a.test.js › twice 1\n');
});

test('a title that depends on the machine fails a whole run', () => {
  tests(`test('in ${project}', () => {});`);
  const { status, said } = run();
  expect(status).toBe(1);
  expect(said).toContain('1 tests of the tier small have the path of this checkout in their titles:');
});

test('the slowest files are listed with their set-up', () => {
  tests(`beforeAll(() => new Promise((done) => setTimeout(done, 1100))); test('one', () => {});`);
  expect(run().said).toMatch(
    /Slowest files of the tier small, in seconds: total, set-up\n +\d\.\d +[1-9]\.\d {2}test\/a\.test\.js/,
  );
});
