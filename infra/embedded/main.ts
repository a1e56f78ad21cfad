import { loadEnvFile } from '../runtime/load-env-file.js';
import { dataDirFrom } from './data-folder.js';
import { API, WORKER } from './node-child.js';
import { reportFailure } from './report-failure.js';
import { createReporter } from './reporter.js';
import { restartRequestsFrom } from './restart-requests.js';
import { runStack } from './run-stack.js';
import { listenForStopSignals } from './stop-signals.js';

/**
 * `npm start`. Options:
 * - `--servers-only`: only PostgreSQL, Temporal and the object store.
 * - `--throwaway`, for tests: on any free ports, without flushing to disk.
 * - `--dev`: restarts the programs that the parent names in `{kind:'rebuilt', programs}`.
 *
 * A parent with an IPC channel gets `{kind:'ready', env}`. When the channel closes, the stack stops.
 */
const options = process.argv.slice(2);
const report = createReporter(process.stdout);
if (!options.includes('--throwaway')) loadEnvFile(); // a test's servers depend on nobody's settings

runStack({
  env: process.env,
  dataDir: dataDirFrom(process.env),
  report,
  children: options.includes('--servers-only') ? [] : [WORKER, API],
  throwaway: options.includes('--throwaway'),
  restarts: options.includes('--dev') ? restartRequestsFrom(process) : undefined,
  ...listenForStopSignals(process, { endsWithParent: process.env['npm_lifecycle_event'] === 'start' }),
  onReady: (env) => process.send?.({ kind: 'ready', env }),
})
  .catch((error: unknown) => {
    reportFailure(process, error);
  })
  .finally(() => {
    if (process.connected) process.disconnect(); // an open channel alone would keep this process
  });
