// Runs the servers of one test run. When the run ends, it removes everything that the run left behind. Jest forks this program.
// The IPC channel closes when Jest ends, also after Ctrl-C and after kill -9.
//
//   node test/support/keep-test-servers.mjs <folder>
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 100;

const folder = process.argv[2];
const entry = join(process.cwd(), 'dist', 'bin', 'infra', 'embedded', 'main.js');
const ended = once(process, 'disconnect');
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined); // a terminal sends them to all

const servers = fork(entry, ['--servers-only', '--throwaway'], {
  env: { ...process.env, DATA_DIR: join(folder, 'servers') },
  execArgv: [],
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
});
servers.on('message', (message) => process.connected && process.send(message));
servers.once('exit', (code) => {
  process.exitCode = code ?? 1;
  if (process.connected) process.disconnect(); // Jest reports a start that failed
});

await ended;
servers.kill('SIGTERM');
if (servers.exitCode === null) await once(servers, 'exit');
for (let pids = left(); pids.length > 0; pids = left()) {
  for (const pid of pids) kill(pid);
  await sleep(LOOK_EVERY_MS);
}
rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

/** Processes whose command line or TMPDIR lies in the folder of this run. */
function left() {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && pid !== process.ppid && isOfRun(pid));
}

function isOfRun(pid) {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const settings = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return words.some((word) => word.includes(folder)) || settings.includes(`TMPDIR=${folder}`);
  } catch {
    return false; // it has ended, or belongs to another account
  }
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}
