import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { findProgram } from '../../infra/embedded/programs/find-program.js';
import { TEMPORAL, VERSITYGW } from '../../infra/embedded/programs/known-programs.js';
import { startNode } from './stack-process.js';
import { programPath } from '../../infra/runtime/program-path.js';

const USABLE = 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)';
// Port 9 would not do: fetch refuses it unasked.
const NOTHING_LISTENS_HERE = 'http://127.0.0.1:2';

const silent = { say: () => undefined, progress: () => undefined };

let home = '';
let said: string[] = [];
let server: Server | undefined;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'durable-comfy-programs-'));
  said = [];
});

afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(home, { recursive: true, force: true });
});

test('a configured path goes before everything', async () => {
  const configured = program('configured/temporal', USABLE);
  program('path/temporal', USABLE);
  expect(await find({ TEMPORAL_CLI_PATH: configured })).toBe(configured);
});

test('a configured path that is no Temporal CLI is an error that names the variable', async () => {
  const configured = program('configured/temporal', 'something else');
  program('path/temporal', USABLE);
  await expect(find({ TEMPORAL_CLI_PATH: configured })).rejects.toThrow(
    /^TEMPORAL_CLI_PATH is .* is not the Temporal CLI/,
  );
});

test('PATH goes before the cache', async () => {
  const inPath = program('path/temporal', USABLE);
  program('cache/durable-comfy/programs/temporal-v1.5.1/temporal', USABLE);
  expect(await find()).toBe(inPath);
});

test('a server in PATH that is too old is passed over, and that is said', async () => {
  const old = program('path/temporal', 'temporal version 1.1.2 (Server 1.25.2, UI 2.31.2)');
  const cached = program('cache/durable-comfy/programs/temporal-v1.5.1/temporal', USABLE);
  expect(await find()).toBe(cached);
  expect(said.join()).toContain(`${old} is passed over: it holds server 1.25, but 1.29 or newer is needed`);
});

test('the official release is downloaded, tried out and kept in the cache', async () => {
  program('release/temporal', USABLE);
  const archive = execFileSync('tar', ['-czf', '-', '-C', join(home, 'release'), 'temporal']);
  const requested: string[] = [];
  const origin = await serve((path) => {
    requested.push(path);
    return archive;
  });
  const found = await find({ DOWNLOAD_ORIGIN: origin, PATH: `${join(home, 'path')}:/usr/bin:/bin` });
  expect(found).toBe(join(home, 'cache/durable-comfy/programs/temporal-v1.5.1/temporal'));
  expect(readFileSync(found, 'utf8')).toContain(USABLE);
  expect(await find({ DOWNLOAD_ORIGIN: origin })).toBe(found);
  expect(requested).toHaveLength(1);
});

test('R3.3 versitygw is taken out of the folder in which its releases pack it, by the names of `uname`', async () => {
  const folder = process.arch === 'x64' ? 'versitygw_v1.8.0_Linux_x86_64' : `versitygw_v1.8.0_Linux_${process.arch}`;
  program(`release/${folder}/versitygw`, 'Version  : 1.8.0');
  const archive = execFileSync('tar', ['-czf', '-', '-C', join(home, 'release'), folder]);
  const requested: string[] = [];
  const origin = await serve((path) => {
    requested.push(path);
    return archive;
  });
  const env = envWith({ DOWNLOAD_ORIGIN: origin, PATH: `${join(home, 'path')}:/usr/bin:/bin` });
  const found = await findProgram(VERSITYGW, { env, report: silent, signal: new AbortController().signal });
  expect(found).toBe(join(home, 'cache/durable-comfy/programs/versitygw-v1.8.0/versitygw'));
  expect(requested).toEqual([`/versity/versitygw/releases/download/v1.8.0/${folder}.tar.gz`]);
});

test('a download that does not run is thrown away, and Go builds the pinned version instead', async () => {
  const origin = await serve(() => Buffer.from('<html>not an archive</html>'));
  fakeGo(`printf '#!/bin/sh\\necho "${USABLE}"\\n' > "$GOBIN/temporal"; chmod 755 "$GOBIN/temporal"`);
  const found = await find({ DOWNLOAD_ORIGIN: origin });
  expect(found).toBe(join(home, 'cache/durable-comfy/programs/temporal-v1.5.1/temporal'));
  expect(readFileSync(join(home, 'go-arguments'), 'utf8')).toContain(
    'install -v github.com/temporalio/cli/cmd/temporal@v1.5.1',
  );
  expect(leftInCache()).toEqual(['temporal-v1.5.1']);
});

test('two that need it at once build it once', async () => {
  fakeGo(`sleep 1; printf '#!/bin/sh\\necho "${USABLE}"\\n' > "$GOBIN/temporal"; chmod 755 "$GOBIN/temporal"`);
  const [first, second] = await Promise.all([find(), find()]);
  expect(first).toBe(second);
  expect(readFileSync(join(home, 'go-arguments'), 'utf8').trim().split('\n')).toHaveLength(1);
});

test('a stop while Go builds ends the build and leaves nothing half', async () => {
  fakeGo('exec /bin/sleep 30');
  const stop = new AbortController();
  const finding = find({}, stop.signal);
  const outcome = expect(finding).rejects.toThrow();
  setTimeout(() => {
    stop.abort();
  }, 300);
  await outcome;
  expect(leftInCache()).toEqual([]);
});

test('nothing to be had: exit code 1, both ways out are named, and nothing was started', async () => {
  mkdirSync(join(home, 'path'));
  const dataDir = join(home, 'data');
  const stack = startNode(programPath('infra/embedded/main'), {
    args: ['--servers-only', '--throwaway'],
    env: { ...envWith({}), DATA_DIR: dataDir, TEMPORAL_CLI_PATH: '' },
  });
  expect(await stack.exitCode).toBe(1);
  expect(stack.output()).toContain('The program "temporal" is not here and could not be got');
  expect(stack.output()).toContain('ECONNREFUSED');
  expect(stack.output()).toContain('Go is not installed');
  expect(stack.output()).toMatch(/- install Go .* or put "temporal" in PATH or its path in TEMPORAL_CLI_PATH/);
  expect(stack.output()).toMatch(/- set TEMPORAL_ADDRESS to a server that is running already/);
  expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
});

function find(env: Record<string, string> = {}, signal = new AbortController().signal): Promise<string> {
  const say = (line: string) => void said.push(line);
  return findProgram(TEMPORAL, { env: envWith(env), report: { say, progress: say }, signal });
}

/** A machine with nothing on it. */
function envWith(env: Record<string, string>): Record<string, string> {
  return {
    HOME: home,
    XDG_CACHE_HOME: join(home, 'cache'),
    PATH: join(home, 'path'),
    DOWNLOAD_ORIGIN: NOTHING_LISTENS_HERE,
    ...env,
  };
}

function program(name: string, versionAnswer: string): string {
  return script(name, `echo "${versionAnswer}"`);
}

function fakeGo(work: string): void {
  script('path/go', `PATH=/usr/bin:/bin\necho "$@" >> "${home}/go-arguments"\necho go.temporal.io/api >&2\n${work}`);
}

function script(name: string, body: string): string {
  const path = join(home, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

function leftInCache(): readonly string[] {
  return readdirSync(join(home, 'cache/durable-comfy/programs'));
}

async function serve(answer: (path: string) => Buffer): Promise<string> {
  const listening = createServer((request, response) => response.end(answer(request.url ?? '')));
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const address = listening.address();
  if (typeof address !== 'object' || address === null) throw new Error('not listening');
  return `http://127.0.0.1:${address.port}`;
}
