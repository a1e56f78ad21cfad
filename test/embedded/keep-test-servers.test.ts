import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

test('a test run that is interrupted leaves no server, no program and no folder', async () => {
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
  writeFileSync(join(folder, 'left.txt'), 'behind');

  keeper.disconnect(); // the operating system does the same to the channel of a Jest that was killed

  expect(await ended).toEqual([0, null]);
  expect(await leftEnded).toEqual([null, 'SIGKILL']);
  expect(existsSync(folder)).toBe(false);
}, 60_000);
