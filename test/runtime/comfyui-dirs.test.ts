import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { comfyUICleanupFrom, comfyUIDirsFrom } from '../../infra/runtime/comfyui-dirs.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'comfyui-dir-'));
  for (const name of ['output', 'input']) mkdirSync(join(dir, name));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

test("unset, no ComfyUI's folders are touched", () => {
  expect(comfyUIDirsFrom({}, 2)).toEqual([null, null]);
  expect(comfyUICleanupFrom({})).toBe('own');
});

test('there is one folder for each ComfyUI, in order; an empty place is one that cannot be reached', () => {
  expect(comfyUIDirsFrom({ COMFYUI_DIR: `${dir},,${dir}` }, 3)).toEqual([dir, null, dir]);
  expect(() => comfyUIDirsFrom({ COMFYUI_DIR: dir }, 2)).toThrow(/1 folders for 2 ComfyUI/);
});

test('a folder that is not ComfyUI is refused with what it lacks: temp is not asked for, because ComfyUI removes it', () => {
  expect(() => comfyUIDirsFrom({ COMFYUI_DIR: join(dir, 'output') }, 1)).toThrow(
    /COMFYUI_DIR is .* which has no folder output and no folder input/,
  );
  expect(() => comfyUIDirsFrom({ COMFYUI_DIR: 'relative/ComfyUI' }, 1)).toThrow(/no absolute path/);
  expect(() => comfyUICleanupFrom({ COMFYUI_CLEANUP: 'yes' })).toThrow(
    'COMFYUI_CLEANUP is "yes", but must be own or all',
  );
});
