import type { Env } from '../runtime/env.js';
import { ResourceStack } from '../runtime/resource-stack.js';
import { versionInfo } from '../runtime/version.js';
import { checkSettings } from './check-settings.js';
import { dataFolderAt } from './data-folder.js';
import type { DataFolder } from './data-folder.js';
import { demonstrateOnce } from './demonstration.js';
import { EmbeddedError } from './embedded-error.js';
import type { NodeChild } from './node-child.js';
import { orAborted } from './or-aborted.js';
import { acquireProcessLock } from './processes/process-lock.js';
import type { ProcessContext } from './processes/process-spec.js';
import { stopLeftovers } from './processes/stop-leftovers.js';
import type { Reporter } from './reporter.js';
import type { RestartRequests } from './restart-requests.js';
import { startChildren } from './start-children.js';
import { startServers } from './start-servers.js';
import { stopInForceAt } from './stop-in-force.js';
import { welcome } from './welcome.js';

export interface StackOptions {
  readonly env: Env;
  readonly dataDir: string;
  readonly report: Reporter;
  /** Our own programs beside the servers. With none, only the servers run, and no ComfyUI is looked for. */
  readonly children: readonly NodeChild[];
  /** For tests: any free ports, nothing flushed to disk. */
  readonly throwaway: boolean;
  /** Under `npm run dev` only: programs that have been rebuilt. */
  readonly restarts?: RestartRequests | undefined;
  /** First Ctrl-C: stop in order. */
  readonly stop: AbortSignal;
  /** Second Ctrl-C: kill. */
  readonly killNow: AbortSignal;
  /** Called with the settings by which everything is found, once it is up. */
  readonly onReady: (env: Env) => void;
}

/** Starts everything, keeps it running until the stop signal, then stops it in order. */
export async function runStack(options: StackOptions): Promise<void> {
  const { report, stop } = options;
  const resources = new ResourceStack();
  try {
    const givenUp = await start(options, resources);
    await orAborted(Promise.race([...givenUp, new Promise<never>(() => undefined)]), stop);
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    const failures = await resources.release();
    for (const { name, error } of failures) report.say(`${name} did not stop cleanly: ${String(error)}`);
  }
}

async function start(options: StackOptions, resources: ResourceStack): Promise<readonly Promise<never>[]> {
  const startedAt = performance.now();
  const { report, stop, throwaway } = options;
  if (options.children.length > 0) await checkSettings(options.env);
  const folder = dataFolderAt(options.dataDir);
  if (options.children.length > 0) report.say(`durable-comfy ${versionInfo.version}, commit ${versionInfo.commit}`);
  resources.add('lock', lockOf(folder));
  if (options.children.length > 0) {
    resources.add('last word', () => {
      report.say('Stopped. Everything is kept for the next start.');
    });
  }
  await stopLeftovers(folder, report);
  const context: ProcessContext = { folder, report, killNow: options.killNow, restarts: options.restarts };
  const servers = await startServers({ env: options.env, context, signal: stop, throwaway });
  resources.add('servers', servers.stop);
  if (options.children.length === 0) {
    options.onReady(servers.env);
    return [servers.givenUp];
  }
  report.say(`Starting ${options.children.map(({ name }) => name).join(' and ')}`);
  const children = await startChildren({ ...options, env: servers.env }, context, resources);
  resources.add('first word', () => {
    report.say('Stopping …');
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const stopped = await stopInForceAt(children.apiUrl);
  report.say(welcome(children, { seconds, stop: stopped }));
  options.onReady(children.env);
  const demonstration = { ...children, folder, report, stop };
  if (stopped === null) void demonstrateOnce(demonstration, options.env);
  return [servers.givenUp, ...children.givenUp];
}

function lockOf(folder: DataFolder): () => void {
  const lock = acquireProcessLock(folder.path('run', 'stack.lock'));
  if (lock.held) return lock.release;
  throw new EmbeddedError(
    `Process ${lock.holderPid} is running on ${folder.root} already. Stop that one first, or set DATA_DIR to another folder.`,
  );
}
