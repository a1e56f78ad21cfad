import { once } from 'node:events';
import { rmSync } from 'node:fs';

/** Stops the servers of the run and throws away their data and what the tests have left behind. */
// eslint-disable-next-line import-x/no-default-export -- Jest takes the default export
export default async function globalTeardown(): Promise<void> {
  const servers = globalThis.testServersProcess;
  if (servers === undefined) return;
  const { child, folder } = servers;
  if (child.exitCode === null) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  } catch (error) {
    process.stderr.write(`${folder} could not be removed, something still writes there: ${String(error)}\n`);
  }
}
