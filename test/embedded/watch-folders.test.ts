import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { until } from '../support/until.js';

interface Watching {
  readonly watchFolders: (root: string, folders: readonly string[], onChange: () => void) => { close: () => void };
}

const { watchFolders } = (await import(join(projectRoot, 'scripts', 'watch-folders.mjs'))) as Watching;
let root: string;
let changes: number;
let watcher: { close: () => void };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'watched-'));
  mkdirSync(join(root, 'api', 'routes'), { recursive: true });
  changes = 0;
  watcher = watchFolders(root, ['api', 'not-there'], () => {
    changes += 1;
  });
});

afterEach(() => {
  watcher.close();
  rmSync(root, { recursive: true, force: true });
});

/** More changes than those of before, which may arrive late. */
async function untilSeen(path: string): Promise<void> {
  const enough = changes + 10;
  await until(`changes of ${path}`, async () => {
    writeFileSync(join(root, path), 'edited');
    return changes > enough;
  });
}

test('an edit in a folder that Git has replaced is seen', async () => {
  const folder = join(root, 'api', 'routes');
  await untilSeen('api/routes/first.ts');
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  await until('the new folder', async () => changes > 1);
  await untilSeen('api/routes/second.ts');
});

test('folders that come and go while they are looked for do no harm', async () => {
  const churn = spawn(process.execPath, ['--input-type=module', '--eval', CHURN, join(root, 'api')]);
  await once(churn, 'exit');
  await untilSeen('api/last.ts');
  expect(changes).toBeGreaterThan(100);
});

/** As Git does when it changes between two branches. */
const CHURN = `import { mkdirSync, rmSync } from 'node:fs';
const folders = Array.from({ length: 12 }, (_, index) => process.argv[1] + '/' + index);
for (const endsAt = Date.now() + 1_500; Date.now() < endsAt; await new Promise(setImmediate)) {
  for (const folder of folders) mkdirSync(folder + '/a/b', { recursive: true });
  for (const folder of folders) rmSync(folder, { recursive: true });
}`;
