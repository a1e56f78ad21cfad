// `npm run dev`: the stack of `npm start`, plus a build after every edit. The stack restarts the programs whose build has
// changed. Its servers keep running. After an edit that does not build, the programs of the last build keep running.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildChanged, failureText } from './build/build-changed.mjs';
import { readRecord } from './build/build-record.mjs';
import { filesBelow, sha256, SOURCE_FOLDERS } from './build/read-sources.mjs';
import { watchFolders } from './watch-folders.mjs';
import { whenParentEnds } from './when-parent-ends.mjs';

/** Files that a program reads when it starts. */
const READ_AT_START = {
  'api/main': ['comfy-workflows', 'infra/postgres/migrations'],
  'workers/main': ['infra/postgres/migrations'],
  'infra/simulators/comfyui/main': ['infra/simulators/comfyui/data'],
};
const STACK = 'infra/embedded/main';
/** Editors write a file in several steps. */
const SETTLE_MS = 50;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
let running = programsOf(readRecord(join(root, 'dist')));
let timer;
let building = Promise.resolve();

const stack = spawn(process.execPath, [join(root, 'dist', 'bin', `${STACK}.js`), '--dev', ...process.argv.slice(2)], {
  cwd: root,
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
});
const watcher = watchFolders(root, [...SOURCE_FOLDERS, ...Object.values(READ_AT_START).flat()], () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    building = building.then(rebuild).catch((error) => process.stderr.write(failureText(error)));
  }, SETTLE_MS);
});
stack.once('exit', (code) => {
  watcher.close();
  clearTimeout(timer);
  process.exitCode = code ?? 1;
});
// A terminal sends Ctrl-C to the stack as well. The stack counts both signals as one Ctrl-C.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stack.kill(signal));
whenParentEnds(() => stack.kill('SIGTERM'));

async function rebuild() {
  const startedAt = performance.now();
  let failure = null;
  await buildChanged(root).catch((error) => {
    failure = error;
  });
  if (failure !== null) process.stderr.write(`${failureText(failure)}The programs of the last build keep running.\n`);
  const built = programsOf(readRecord(join(root, 'dist')));
  const programs = Object.keys(built).filter((name) => built[name] !== running[name]);
  running = { ...running, ...built };
  if (programs.length === 0 || !stack.connected) return;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`Built in ${seconds} s, changed: ${programs.join(', ')}\n`);
  if (programs.includes(STACK))
    process.stdout.write(`${STACK} itself runs from its last build until "npm run dev" is restarted\n`);
  stack.send({ kind: 'rebuilt', programs });
}

/** A hash of everything that a running program was made from, by the name of the program. */
function programsOf({ programs, workflows }) {
  return Object.fromEntries(
    Object.entries(programs).map(([name, { code }]) => {
      const files = (READ_AT_START[name] ?? []).flatMap((folder) => filesBelow(root, folder));
      const texts = files.map((path) => sha256(readFileSync(join(root, path))));
      return [name, sha256([code, name === 'workers/main' ? workflows?.code : '', ...files, ...texts].join('\n'))];
    }),
  );
}
