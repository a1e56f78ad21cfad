import { loadEnvFile } from '../runtime/load-env-file.js';
import { dataDirFrom } from './data-folder.js';
import { API, WORKER } from './node-child.js';
import { reportFailure } from './report-failure.js';
import { createReporter } from './reporter.js';
import { restartRequestsFrom } from './restart-requests.js';
import { runStack } from './run-stack.js';
import { listenForStopSignals } from './stop-signals.js';

/**
 * `npm start`. With `--servers-only` PostgreSQL, Temporal and the object store alone; with `--throwaway`, for tests, on any free
 * ports and without flushing to disk. A parent with an IPC channel gets `{kind:'ready', env}`, and its end ends this. With
 * `--dev` it sends `{kind:'rebuilt', programs}` for the programs that are to be restarted.
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
