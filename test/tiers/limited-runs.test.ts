import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';

interface Reporter {
  onTestFileResult: (test: object, result: object) => void;
  onRunComplete: (contexts: object, results: object) => void;
  getLastError: () => Error | undefined;
}

const path = join(projectRoot, 'test', 'support', 'tier-reporter.mjs');
const { default: TierReporter } = (await import(path)) as { default: new (config: object) => Reporter };
const COMPLETE = { numFailedTests: 0, wasInterrupted: false };
let root: string;

beforeEach(() => {
  jest.spyOn(process.stderr, 'write').mockReturnValue(true); // `.ci/run` would take its report for that of the tier
  root = mkdtempSync(join(tmpdir(), 'tier-'));
  mkdirSync(join(root, 'test', 'names'), { recursive: true });
  writeFileSync(namesPath(), 'a.test.ts › one\na.test.ts › twice\na.test.ts › twice\n');
});

afterEach(() => {
  jest.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

test.each([
  ['a path', { testPathPatterns: { patterns: ['a.test'] } }, COMPLETE],
  ['a name', { testNamePattern: 'one' }, COMPLETE],
  ['--shard', { shard: { shardIndex: 1, shardCount: 2 } }, COMPLETE],
  ['--onlyFailures', { onlyFailures: true }, COMPLETE],
  ['--bail after a failure', { bail: 1 }, { ...COMPLETE, numFailedTests: 1 }],
  ['an interruption', {}, { ...COMPLETE, wasInterrupted: true }],
])('a run that was limited by %s lacks no test', (_, config, results) => {
  expect(run(['one'], config, results)).toBe('');
});

test('a run with --bail in which no test failed is a whole one', () => {
  expect(run(['one'], { bail: 1 })).toContain('2 tests of test/names/fast.txt were not found');
});

/** The error of a run in which these tests of one file passed. */
function run(names: readonly string[], config: object = {}, results: object = COMPLETE): string {
  const reporter = new TierReporter({ rootDir: root, testPathPatterns: { patterns: [] }, bail: 0, ...config });
  const file = { context: { config: { displayName: { name: 'fast' } } }, path: join(root, 'a.test.ts') };
  const testResults = names.map((fullName) => ({ fullName, status: 'passed' }));
  reporter.onTestFileResult(file, { perfStats: { start: 0, end: 1 }, testResults, testExecError: undefined });
  reporter.onRunComplete(new Set(), results);
  return reporter.getLastError()?.message ?? '';
}

function namesPath(): string {
  return join(root, 'test', 'names', 'fast.txt');
}
