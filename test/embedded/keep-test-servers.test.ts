import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

test('a test run that is interrupted leaves no server, no program and no folder, and ends no program of a terminal', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'interrupted-'));
  const keeper = fork(join('test', 'support', 'keep-test-servers.mjs'), [folder], {
    env: { ...process.env, TMPDIR: folder },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(keeper, 'exit');
  await Promise.race([once(keeper, 'message'), ended]);
  const left = spawn('sleep', ['600'], { env: { PATH: process.env['PATH'], TMPDIR: folder }, stdio: 'ignore' });
  const leftEnded = once(left, 'exit');
  const file = join(folder, 'left.txt');
  writeFileSync(file, 'behind');
  const terminal = spawn('script', ['-qc', 'echo looks; exec tail -f "$FILE"', '/dev/null'], {
    env: { PATH: process.env['PATH'], FILE: file },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(terminal.stdout, 'data');

  keeper.disconnect(); // the operating system does the same to the channel of a Jest that was killed

  expect(await ended).toEqual([0, null]);
  expect(await leftEnded).toEqual([null, 'SIGKILL']);
  expect(existsSync(folder)).toBe(false);
  expect([terminal.exitCode, terminal.signalCode]).toEqual([null, null]);
  terminal.kill('SIGKILL');
}, 60_000);
