import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { testServers } from './stack.js';

const run = promisify(execFile);

/** Runs the real `temporal` command, as an operator does; answers what it prints, rejects with what it complains about. */
export async function temporalCommand(namespace: string, ...args: readonly string[]): Promise<string> {
  const { temporalCliPath, temporalAddress } = testServers();
  const env = { ...process.env, TEMPORAL_ADDRESS: temporalAddress, TEMPORAL_NAMESPACE: namespace };
  const { stdout } = await run(temporalCliPath, args, { env, timeout: 30_000, maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}
