import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { dataFolderAt } from '../../infra/embedded/data-folder.js';
import { findStore } from '../../infra/embedded/embedded-stores.js';
import type { FoundStore } from '../../infra/embedded/embedded-stores.js';
import { findServerPrograms } from '../../infra/embedded/find-server-programs.js';
import { MINIO, VERSITYGW } from '../../infra/embedded/programs/known-programs.js';
import { BareMachine, withContents } from './bare-machine.js';

const MINIO_ANSWER = 'minio version DEVELOPMENT.GOGET';
const VERSITYGW_ANSWER = 'Version  : git';

let machine: BareMachine;

beforeEach(() => {
  machine = new BareMachine();
});

afterEach(() => {
  machine.remove();
});

test('MinIO is taken where it is in PATH', async () => {
  const program = machine.program('path/minio', MINIO_ANSWER);
  machine.program('path/versitygw', VERSITYGW_ANSWER);
  expect(await find()).toEqual({ name: 'minio', program });
});

test('MinIO is taken where it can be downloaded', async () => {
  const release = Buffer.from(`#!/bin/sh\necho "${MINIO_ANSWER}"\n`);
  const origin = await machine.serve((_, response) => response.end(release));
  const programs = { minio: withContents(MINIO, { release }), versitygw: VERSITYGW };
  const store = await findStore(dataFolder(), machine.search({ DOWNLOAD_ORIGIN: origin }), programs);
  expect(store).toEqual({ name: 'minio', program: machine.cached('minio-RELEASE.2025-09-07T16-13-09Z/minio') });
  expect(execFileSync(store.program, { encoding: 'utf8' })).toContain(MINIO_ANSWER);
});

test('where MinIO could only be built versitygw is built, said and kept, also when MinIO turns up later', async () => {
  machine.workingGo('versitygw', VERSITYGW_ANSWER);
  const versitygw: FoundStore = { name: 'versitygw', program: machine.cached('versitygw-v1.8.0/versitygw') };
  expect(await find()).toEqual(versitygw);
  expect(machine.said.join('\n')).toMatch(/MinIO could only be built here\. versitygw.*Set OBJECT_STORE=minio/);
  expect(goBuilt()).toEqual(['github.com/versity/versitygw/cmd/versitygw@v1.8.0']);

  machine.program('path/minio', MINIO_ANSWER);
  expect(await find()).toEqual(versitygw);
  const inAnotherFolder = await findStore(dataFolderAt(machine.path('other')), machine.search());
  expect(inAnotherFolder.name).toBe('minio');
});

test('a choice that came to nothing is not kept', async () => {
  await expect(find()).rejects.toThrow('The program "versitygw" is not on this machine and could not be obtained');
  machine.program('path/minio', MINIO_ANSWER);
  expect((await find()).name).toBe('minio');
});

test('a data folder with objects of MinIO keeps MinIO, even if it must be built', async () => {
  mkdirSync(dataFolder().path('minio'));
  machine.program('path/versitygw', VERSITYGW_ANSWER);
  machine.workingGo('minio', MINIO_ANSWER);
  expect((await find()).name).toBe('minio');
  expect(goBuilt()).toEqual([`github.com/minio/minio@${MINIO.goBuild.version}`]);
});

test('a data folder with objects of versitygw alone keeps versitygw', async () => {
  mkdirSync(dataFolder().path('versitygw'));
  machine.program('path/versitygw', VERSITYGW_ANSWER);
  machine.program('path/minio', MINIO_ANSWER);
  expect((await find()).name).toBe('versitygw');
});

test('OBJECT_STORE goes before what the data folder has and before what was chosen there', async () => {
  machine.program('path/versitygw', VERSITYGW_ANSWER);
  expect((await find()).name).toBe('versitygw'); // chosen
  machine.program('path/minio', MINIO_ANSWER);
  expect((await find({ OBJECT_STORE: 'minio' })).name).toBe('minio');
  mkdirSync(dataFolder().path('minio'));
  expect((await find({ OBJECT_STORE: 'versitygw' })).name).toBe('versitygw');
});

test('S3_ENDPOINT starts none, so none is looked for', async () => {
  const programs = await findServerPrograms(
    dataFolder(),
    machine.search({ S3_ENDPOINT: 'http://127.0.0.1:9000', TEMPORAL_ADDRESS: '127.0.0.1:7233' }),
  );
  expect(programs).toEqual({ temporal: null, store: null });
  expect(machine.said).toEqual([]);
});

function find(settings: Record<string, string> = {}): Promise<FoundStore> {
  return findStore(dataFolder(), machine.search(settings));
}

function dataFolder(): ReturnType<typeof dataFolderAt> {
  return dataFolderAt(machine.path('data'));
}

function goBuilt(): readonly string[] {
  const lines = readFileSync(machine.path('go-arguments'), 'utf8').trim().split('\n');
  return lines.map((line) => line.split(' ').at(-1) ?? '');
}
