import { loadEnvFile } from '../../runtime/load-env-file.js';
import { dataDirFrom, dataFolderAt } from '../data-folder.js';
import { findServerPrograms } from '../find-server-programs.js';
import { reportFailure } from '../report-failure.js';
import { createReporter } from '../reporter.js';
import { listenForStopSignals } from '../stop-signals.js';

/** Exit code of a program that SIGINT ended. */
const INTERRUPTED = 130;

/**
 * Gets the programs that `npm start` needs and this machine lacks, and ends. It calls the same search as the start, so the
 * start finds them in the cache. It imports little, so it can run while the rest of the project is built.
 */
loadEnvFile();
const { stop } = listenForStopSignals(process, { endsWithParent: true });
const report = createReporter(process.stdout);

try {
  await findServerPrograms(dataFolderAt(dataDirFrom(process.env)), { env: process.env, report, signal: stop });
} catch (error) {
  if (stop.aborted) process.exitCode = INTERRUPTED;
  else reportFailure(process, error);
} finally {
  if (process.connected) process.disconnect(); // an open channel alone would keep this process
}
