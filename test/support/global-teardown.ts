import { once } from 'node:events';
import { rmSync } from 'node:fs';

/** Stops the servers of the run and throws their data away. */
// eslint-disable-next-line import-x/no-default-export -- Jest takes the default export
export default async function globalTeardown(): Promise<void> {
  const servers = globalThis.testServersProcess;
  if (servers === undefined) return;
  const { child, dataDir } = servers;
  if (child.exitCode === null) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  rmSync(dataDir, { recursive: true, force: true });
}
