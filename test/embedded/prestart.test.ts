import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from '@jest/globals';
import { until } from '../support/until.js';
import { createSmallProject } from './small-project.js';

const LIMIT_MS = 60_000;
/** Stands in for the search for programs: it waits for SIGTERM or SIGINT, unless it is told to end. */
const SEARCH = (ending: string) => `process.stdout.write('searching ' + process.pid + '\\n');
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
setInterval(() => undefined, 1_000);
${ending}
`;
const API = `process.stdout.write('api');\n`;
const project = createSmallProject({
  'workflows/index.ts': 'export async function answer(): Promise<number> { return 1; }\n',
});

beforeEach(() => {
  project.write('api/main.ts', API);
});

afterAll(() => {
  project.remove();
});

function prestart() {
  const child = spawn(process.execPath, [join(project.root, 'scripts', 'prestart.mjs')]);
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output.text += text;
    });
  }
  const exitCode = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, output, exitCode };
}

const isBuilt = () => existsSync(join(project.root, 'dist', 'bin', 'api', 'main.js'));

test(
  'the search runs while the project is built, and its exit code is the result of both',
  async () => {
    project.write('infra/embedded/programs/main.ts', SEARCH('setTimeout(() => process.exit(7), 100);'));
    const { output, exitCode } = prestart();
    expect(await exitCode).toBe(7);
    expect(output.text).toContain('searching');
    expect(isBuilt()).toBe(true);
  },
  LIMIT_MS,
);

test(
  'a build that fails ends the search and is reported',
  async () => {
    project.write('infra/embedded/programs/main.ts', SEARCH(''));
    project.write('api/main.ts', 'const = 1;\n');
    const { output, exitCode } = prestart();
    expect(await exitCode).toBe(1);
    expect(output.text).toContain('Build failed: api/main.ts:1:');
  },
  LIMIT_MS,
);

test(
  'a signal ends the search, too',
  async () => {
    project.write('infra/embedded/programs/main.ts', SEARCH(''));
    const { child, output, exitCode } = prestart();
    await until('the search', async () => output.text.includes('searching'));
    const pid = Number(/searching (\d+)/.exec(output.text)?.[1]);
    child.kill('SIGTERM');
    expect(await exitCode).toBe(130);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  },
  LIMIT_MS,
);
