import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

declare global {
  var testServersProcess: ChildProcess | undefined;
}

/** Programs that this machine lacks are fetched or built first, which takes minutes once. */
const READY_WITHIN_MS = 30 * 60_000;
// Jest runs its global setup in the root of the project, as CommonJS.
const KEEPER = join(process.cwd(), 'test', 'support', 'keep-test-servers.mjs');
const ENTRY = join(process.cwd(), 'dist', 'bin', 'infra', 'embedded', 'main.js');

const PASSED_ON = [
  ['TEST_DATABASE_URL', 'DATABASE_URL'],
  ['TEST_TEMPORAL_ADDRESS', 'TEMPORAL_ADDRESS'],
  ['TEST_TEMPORAL_UI_URL', 'TEMPORAL_UI_URL'],
  ['TEST_TEMPORAL_CLI_PATH', 'TEMPORAL_CLI_PATH'],
  ['TEST_OBJECT_STORE', 'OBJECT_STORE'],
  ['TEST_S3_ENDPOINT', 'S3_ENDPOINT'],
  ['TEST_S3_ACCESS_KEY_ID', 'S3_ACCESS_KEY_ID'],
  ['TEST_S3_SECRET_ACCESS_KEY', 'S3_SECRET_ACCESS_KEY'],
] as const;

/** Starts one set of real servers for the whole run. They end when Jest ends, however it ends, and their files are removed. */
// eslint-disable-next-line import-x/no-default-export -- Jest takes the default export
export default async function globalSetup(): Promise<void> {
  if (!existsSync(ENTRY)) throw new Error('dist/ is not built: run "npm run build", or "npm test", which builds first');
  const folder = mkdtempSync(join(tmpdir(), 'durable-comfy-test-'));
  chmodSync(folder, 0o755); // as root PostgreSQL runs under another account, which must get in
  process.env['TMPDIR'] = folder; // so files of tests and of the processes that they kill are removed, too
  const child = fork(KEEPER, [folder], {
    env: withoutOwnServers(process.env),
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  globalThis.testServersProcess = child;
  const env = await settingsFrom(child);
  for (const [name, source] of PASSED_ON) process.env[name] = env[source];
}

/** Tests run on servers of their own, whatever the shell is configured for. */
function withoutOwnServers(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => name === 'TEMPORAL_CLI_PATH' || !/^(TEMPORAL_|S3_|DATABASE_URL)/.test(name)),
  );
}

function settingsFrom(child: ChildProcess): Promise<Record<string, string>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.disconnect();
      reject(new Error(`The test servers were not ready in ${READY_WITHIN_MS / 60_000} minutes`));
    }, READY_WITHIN_MS);
    child.once('message', (message: { env: Record<string, string> }) => {
      clearTimeout(timer);
      resolve(message.env);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`The test servers ended with exit code ${code ?? 'none'}; the reason is above`));
    });
  });
}
