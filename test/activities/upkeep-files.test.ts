import { existsSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createCleanSpool } from '../../activities/upkeep/clean-spool.js';
import type { ComfyUIFolders } from '../../activities/upkeep/comfyui-folders.js';
import { createFindOldFiles } from '../../activities/upkeep/find-old-files.js';
import { createRemoveOldFiles } from '../../activities/upkeep/remove-old-files.js';
import type { OldFiles } from '../../workflows/domain/old-files.js';
import { environment } from './support/activity-world.js';
import { ageFile, oldFile } from './support/old-file.js';

const HOUR = 3_600;
const DAY = 24 * HOUR;
/** Room for the time that passes between the making of a file and the look at it. */
const MOMENT = 60;
const HASH = 'ab'.repeat(32);
const BYTES = 12;

let base: string;
beforeEach(async () => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'comfyui-')));
  for (const folder of ['output', 'temp', 'input']) await mkdir(join(base, folder));
});
afterEach(() => {
  rmSync(base, { recursive: true, force: true });
});

const maxAgeSeconds = { output: DAY, temp: HOUR, input: 7 * DAY };
const foldersOf = (scope: ComfyUIFolders['scope'] = 'own', at = base): ComfyUIFolders => ({
  ...{ base: at, scope, maxAgeSeconds },
});
const pageAfter = async (after: string | null, folders: ComfyUIFolders | null = foldersOf()) =>
  environment().run(createFindOldFiles({ folders }), { after });
const find = async (folders?: ComfyUIFolders | null) => (await pageAfter(null, folders)).found;
const remove = async (found: readonly OldFiles[], folders = foldersOf()) =>
  environment().run(createRemoveOldFiles({ folders }), { found });
const namesOf = (found: readonly OldFiles[]) => found.map(({ folder, name }) => `${folder}/${name}`);
const at = (...path: readonly string[]) => join(base, ...path);

describe('old files of ComfyUI', () => {
  test('R4.6 outputs go after FILE_MAX_AGE, temporary files after an hour, inputs after 7 days, and not before', async () => {
    const ages = { output: DAY, temp: HOUR, input: 7 * DAY };
    const going: string[] = [];
    const staying: string[] = [];
    for (const [folder, limit] of Object.entries(ages)) {
      const pathOf = (age: 'old' | 'new') =>
        folder === 'input'
          ? at(folder, 'dg/inputs', `${(age === 'old' ? 'a' : 'b').repeat(64)}.png`)
          : at(folder, `dg/gen_${age}/1/9_00001_.png`);
      going.push(await oldFile(pathOf('old'), limit + MOMENT));
      staying.push(await oldFile(pathOf('new'), limit - MOMENT));
    }
    const found = await find();
    expect(namesOf(found)).toEqual([`input/${'a'.repeat(64)}.png`, 'output/gen_old', 'temp/gen_old']);
    const tally = await remove(found);
    expect(tally).toEqual({ files: 3, bytes: 3 * BYTES, kept: 0, failed: 0, errors: [] });
    expect([...going, ...staying].map((path) => existsSync(path))).toEqual([false, false, false, true, true, true]);
    expect(existsSync(at('output/dg/gen_old'))).toBe(false); // empty folders go, too
    expect(existsSync(at('input/dg/inputs'))).toBe(true);
  });

  test('of one generation only the old files go', async () => {
    const young = await oldFile(at('output/dg/gen_a/2/9.png'), 0);
    const old = await oldFile(at('output/dg/gen_a/1/9.png'), 2 * DAY);
    expect(await remove(await find())).toMatchObject({ files: 1, failed: 0 });
    expect([existsSync(young), existsSync(old)]).toEqual([true, false]);
  });

  test("other people's files are not touched, whatever their age", async () => {
    const others = [
      await oldFile(at('output/holiday.png'), 900 * DAY),
      await oldFile(at('output/dg/mine.png'), 900 * DAY),
      await oldFile(at('output/dg/not-a-generation/mine.png'), 900 * DAY),
      await oldFile(at('temp/ComfyUI_temp_1.png'), 900 * DAY),
      await oldFile(at('input/face.png'), 900 * DAY),
      await oldFile(at('input/dg/inputs/face.png'), 900 * DAY),
      await oldFile(at(`input/${HASH}.png`), 900 * DAY),
    ];
    expect(await find()).toEqual([]);
    expect(others.every((path) => existsSync(path))).toBe(true);
  });

  test('COMFYUI_CLEANUP=all finds those, too, apart from ours; what is ours by its place and not by its name stays', async () => {
    await oldFile(at('output/holiday/1.png'), 2 * DAY);
    await oldFile(at('output/new.png'), 0);
    const strange = await oldFile(at('output/dg/mine.png'), 2 * DAY);
    await oldFile(at('output/dg/gen_a/1/9.png'), 2 * DAY);
    const all = foldersOf('all');
    const found = await find(all);
    expect(found.map(({ folder, owner, files }) => [folder, owner, files])).toEqual([
      ['output', 'others', 1],
      ['output', 'generation', 1],
    ]);
    expect(await remove(found.slice(0, 1), all)).toMatchObject({ files: 1, failed: 0 });
    expect(existsSync(at('output/holiday/1.png'))).toBe(false);
    expect([at('output/new.png'), at('output/dg/gen_a/1/9.png'), strange].every((path) => existsSync(path))).toBe(true);
  });

  test('links are neither followed nor removed, at any place; a folder that becomes one is left alone', async () => {
    const outside = realpathSync(mkdtempSync(join(tmpdir(), 'outside-')));
    const precious = [
      await oldFile(join(outside, 'gen_b/precious.png'), 900 * DAY),
      await oldFile(join(outside, 'precious.png'), 900 * DAY),
      await oldFile(join(outside, `inputs/${HASH}.png`), 900 * DAY),
    ];
    await mkdir(at('output/dg/gen_a'), { recursive: true });
    symlinkSync(join(outside, 'precious.png'), at('output/dg/gen_a/link.png'));
    symlinkSync(outside, at('output/dg/gen_a/folder'));
    symlinkSync(join(outside, 'gen_b'), at('output/dg/gen_b'));
    symlinkSync(outside, at('temp/dg'));
    symlinkSync(outside, at('input/dg'));
    expect(await find(foldersOf('all'))).toEqual([]);

    await oldFile(at('output/dg/gen_c/precious.png'), 2 * DAY);
    const found = await find();
    await rename(at('output/dg/gen_c'), at('output/aside'));
    symlinkSync(join(outside, 'gen_b'), at('output/dg/gen_c'));
    await remove(found);
    expect(precious.every((path) => existsSync(path))).toBe(true);
    expect(existsSync(at('output/aside/precious.png'))).toBe(true);
    await rm(outside, { recursive: true });
  });

  test("ComfyUI's own folder may be a link to another disk", async () => {
    const disk = realpathSync(mkdtempSync(join(tmpdir(), 'disk-')));
    await oldFile(join(disk, 'dg/gen_a/1/9.png'), 2 * DAY);
    await rm(at('output'), { recursive: true });
    symlinkSync(disk, at('output'));
    expect(await remove(await find())).toMatchObject({ files: 1, failed: 0 });
    expect(existsSync(join(disk, 'dg/gen_a'))).toBe(false);
    await rm(disk, { recursive: true });
  });

  test('a name that leads out of the folder is refused, whoever asks', async () => {
    const outside = await oldFile(at('gen_x/precious.png'), 900 * DAY);
    const wanted = { folder: 'output', owner: 'generation', beforeMs: Date.now(), files: 1, bytes: 1 } as const;
    for (const name of ['../../gen_x', '..', '', 'gen_x/../../../gen_x']) await remove([{ ...wanted, name }]);
    expect(existsSync(outside)).toBe(true);
  });

  test('hundreds of generations come page by page, each once', async () => {
    for (let index = 0; index < 450; index += 1) await oldFile(at(`output/dg/gen_${index}/1/9.png`), 2 * DAY);
    const pages: (readonly OldFiles[])[] = [];
    let after: string | null = null;
    do {
      const { found, next } = await pageAfter(after);
      pages.push(found);
      after = next;
    } while (after !== null);
    expect(pages.map(({ length }) => length)).toEqual([200, 200, 50]);
    expect(new Set(pages.flatMap(namesOf)).size).toBe(450);
  });

  test('an attempt that goes on after one that died answers what both have removed', async () => {
    for (const name of ['a', 'b', 'c']) await oldFile(at(`output/dg/gen_${name}/1/9.png`), 2 * DAY);
    await oldFile(at('output/dg/gen_b/2/9.png'), 2 * DAY);
    const found = await find();
    await rm(at('output/dg/gen_a'), { recursive: true }); // the first attempt, which was killed
    await rm(at('output/dg/gen_b/2/9.png')); // in the middle of the second folder
    expect(await remove(found)).toMatchObject({ files: 4, bytes: 4 * BYTES, failed: 0 });
  });

  test('a cancel ends it between two files', async () => {
    await oldFile(at('output/dg/gen_a/1/9.png'), 2 * DAY);
    const found = await find();
    const world = environment();
    world.cancel('CANCELLED');
    await expect(world.run(createRemoveOldFiles({ folders: foldersOf() }), { found })).rejects.toThrow();
    expect(existsSync(at('output/dg/gen_a/1/9.png'))).toBe(true);
  });

  test('folders that are not reachable, or not there, have nothing', async () => {
    expect(await find(null)).toEqual([]);
    expect(await find(foldersOf('all', at('nowhere')))).toEqual([]);
  });
});

describe('the spool', () => {
  const clean = async (needed: readonly string[], info = {}) =>
    environment(info).run(
      async () => createCleanSpool({ folder: base, maxAgeSeconds: DAY, isNeeded: async (id) => needed.includes(id) })(),
      {},
    );
  const spooled = async (path: string, ageSeconds: number) => {
    const file = await oldFile(at(path), ageSeconds);
    await ageFile(at(path.split('/')[0] ?? ''), ageSeconds);
    return file;
  };

  test('what an ended generation left goes after its time; one under way keeps its files, but no half-written ones', async () => {
    const left = await spooled('gen_ended/1/0', DAY + MOMENT);
    const fresh = await spooled('gen_new/1/0', DAY - MOMENT);
    const needed = await spooled('gen_open/1/0', 2 * DAY);
    const part = await oldFile(at('gen_open/1/0.1234.part'), 2 * DAY);
    const writing = await oldFile(at('gen_open/1/1.1234.part'), 0);
    expect(await clean(['gen_open'])).toEqual({ files: 2, bytes: 2 * BYTES, kept: 1, failed: 0, errors: [] });
    expect([left, part].map((path) => existsSync(path))).toEqual([false, false]);
    expect([fresh, needed, writing].map((path) => existsSync(path))).toEqual([true, true, true]);
  });

  test('the tally goes on from the heartbeat of an attempt that died', async () => {
    await spooled('gen_ended/1/0', 2 * DAY);
    const heartbeatDetails = { files: 3, bytes: 300, kept: 0, failed: 0, errors: [] };
    expect(await clean([], { heartbeatDetails })).toMatchObject({ files: 4, bytes: 300 + BYTES });
  });

  test('a worker that has spooled nothing yet has nothing to clean', async () => {
    await rm(base, { recursive: true });
    expect(await clean([])).toMatchObject({ files: 0, failed: 0 });
  });
});
