import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { dataFolderAt } from '../../infra/embedded/data-folder.js';
import { nodeChildSpec } from '../../infra/embedded/node-child.js';
import { supervise } from '../../infra/embedded/processes/supervise.js';
import type { RestartRequests } from '../../infra/embedded/restart-requests.js';
import { until } from '../support/until.js';
import { createSmallProject } from './small-project.js';

/** Stands in for the stack: it prints what `npm run dev` sends, and ends with it. */
const STACK = `process.stdout.write('stack ' + process.argv[2] + '\\n');
process.on('message', (message) => process.stdout.write(JSON.stringify(message) + '\\n'));
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.stdout.write('pid ' + process.pid + '\\n');
`;
const API = (text: string) =>
  `import { shared } from '../infra/shared.js';\nprocess.stdout.write('${text}' + shared);\n`;

test('npm run dev: an edit restarts only its program, and an edit that does not build restarts none', async () => {
  const project = createSmallProject({
    'workflows/index.ts': 'export async function answer(): Promise<number> { return 1; }\n',
    'infra/shared.ts': `export const shared = 'shared 1';\n`,
    'infra/embedded/main.ts': STACK,
    'infra/simulators/fal/main.ts': `process.stdout.write('fal');\n`,
    'api/main.ts': API('api 1'),
    'comfy-workflows/old/template.json': '{}',
  });
  const script = (name: string) => join(project.root, 'scripts', name);
  await new Promise((resolve) => spawn(process.execPath, [script('build.mjs')]).once('exit', resolve));
  const dev = spawn(process.execPath, [script('dev.mjs')]);
  let said = '';
  for (const stream of [dev.stdout, dev.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const untilSaid = (text: string) => until(text, async () => said.includes(text));
  const messages = () => said.split('\n').filter((line) => line.startsWith('{'));
  try {
    await untilSaid('pid ');
    expect(said).toContain('stack --dev');

    project.write('api/main.ts', 'const = 1;\n');
    await untilSaid('api/main.ts:1:');
    await untilSaid('The programs of the last build keep running');
    expect(messages()).toEqual([]);

    project.write('api/main.ts', API('api 2'));
    await untilSaid('"rebuilt"');
    project.write('comfy-workflows/new/template.json', '{}');
    await until('a restart for a new template', async () => messages().length === 2);
    const restartOfApi = JSON.stringify({ kind: 'rebuilt', programs: ['api/main'] });
    expect(messages()).toEqual([restartOfApi, restartOfApi]);

    const stackPid = Number(/pid (\d+)/.exec(said)?.[1]);
    dev.kill('SIGKILL');
    await until('the end of the stack', async () => !isRunning(stackPid));
  } finally {
    dev.kill('SIGKILL');
    project.remove();
  }
}, 60_000);

test('a requested restart starts the new build at once, and a build that dies at its start waits for the next one', async () => {
  const root = mkdtempSync(join(tmpdir(), 'restart-'));
  const entry = join(root, 'program.mjs');
  const starts = join(root, 'starts');
  const ready = (text: string) => `import { appendFileSync } from 'node:fs';
appendFileSync(${JSON.stringify(starts)}, '${text} ');
process.send({ kind: 'ready' });
setInterval(() => {}, 1_000_000);`;
  const lines: string[] = [];
  const said = (text: string) => lines.filter((line) => line.includes(text)).length;
  const restarts: RestartRequests = new EventEmitter();
  const context = {
    folder: dataFolderAt(join(root, 'data')),
    report: { say: (line: string) => void lines.push(line), progress: () => undefined },
    killNow: new AbortController().signal,
    restarts,
  };
  writeFileSync(entry, ready('first'));
  const program = supervise(nodeChildSpec({ name: 'program', entry, args: [], env: {} }, {}), context);
  try {
    await program.ready;
    restarts.emit(join(root, 'another.mjs'));
    writeFileSync(entry, ready('second'));
    restarts.emit(entry);
    await until('the second build', async () => said('program restarted in') === 1);

    writeFileSync(entry, 'process.exit(3);');
    restarts.emit(entry);
    await until('five deaths', async () => said('starts again after the next edit') === 1, 30_000);
    expect(said('starting it again in')).toBe(4);

    writeFileSync(entry, ready('third'));
    restarts.emit(entry);
    await until('the third build', async () => said('program restarted in') === 2);
    expect(readFileSync(starts, 'utf8')).toBe('first second third ');
  } finally {
    await program.stop();
    rmSync(root, { recursive: true, force: true });
  }
}, 60_000);

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
