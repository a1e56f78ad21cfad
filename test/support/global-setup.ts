import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

declare global {
  var testServersProcess: { readonly child: ChildProcess; readonly folder: string } | undefined;
}

/** Programs that are not on this machine yet are built first: minutes, once. */
const READY_WITHIN_MS = 30 * 60_000;
const entry = join(process.cwd(), 'dist', 'bin', 'infra', 'embedded', 'main.js'); // Jest starts its global setup in the project's root, in CommonJS

const PASSED_ON = [
  ['TEST_DATABASE_URL', 'DATABASE_URL'],
  ['TEST_TEMPORAL_ADDRESS', 'TEMPORAL_ADDRESS'],
  ['TEST_TEMPORAL_UI_URL', 'TEMPORAL_UI_URL'],
  ['TEST_TEMPORAL_CLI_PATH', 'TEMPORAL_CLI_PATH'],
  ['TEST_S3_ENDPOINT', 'S3_ENDPOINT'],
  ['TEST_S3_ACCESS_KEY_ID', 'S3_ACCESS_KEY_ID'],
  ['TEST_S3_SECRET_ACCESS_KEY', 'S3_SECRET_ACCESS_KEY'],
] as const;

/** One set of real servers for the whole run, as a process of its own that ends when Jest ends, however it ends. */
// eslint-disable-next-line import-x/no-default-export -- Jest takes the default export
export default async function globalSetup(): Promise<void> {
  if (!existsSync(entry)) throw new Error('dist/ is not built: run "npm run build", or "npm test", which builds first');
  const folder = mkdtempSync(join(tmpdir(), 'durable-comfy-test-'));
  chmodSync(folder, 0o755); // as root PostgreSQL runs under another account, which must get in
  process.env['TMPDIR'] = folder; // what tests leave behind, and processes that they kill, goes with it
  const child = fork(entry, ['--servers-only', '--throwaway'], {
    env: { ...withoutOwnServers(process.env), DATA_DIR: join(folder, 'servers') },
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  globalThis.testServersProcess = { child, folder };
  const env = await settingsFrom(child).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true }); // Jest runs no teardown after a setup that failed
    throw error;
  });
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
      child.kill();
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
