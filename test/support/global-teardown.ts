import { once } from 'node:events';

/** Ends the servers of the run. `keep-test-servers.mjs` then removes their data and everything that the tests left behind. */
// eslint-disable-next-line import-x/no-default-export -- Jest takes the default export
export default async function globalTeardown(): Promise<void> {
  const child = globalThis.testServersProcess;
  if (child?.exitCode !== null) return;
  child.disconnect();
  await once(child, 'exit');
}
