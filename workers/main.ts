import { ConfigError } from '../infra/runtime/env.js';
import { createLogger, logLevelFrom } from '../infra/runtime/logger.js';
import { ResourceStack } from '../infra/runtime/resource-stack.js';
import { stopInTime } from '../infra/runtime/stop-in-time.js';
import { announceReady, stopSignalOf } from '../infra/runtime/stop-signal.js';
import { runWorkers } from './run-workers.js';
import { workerConfigFrom } from './worker-config.js';
import { armCrashPoint } from '../infra/runtime/crash-point.js';

const logger = createLogger({ name: 'worker', level: logLevelFrom(process.env) });
const resources = new ResourceStack(); // released last in, first out; one failing release never skips the others
const stop = stopSignalOf(process);
stop.addEventListener('abort', () => {
  stopInTime(process, logger);
});

async function main(): Promise<void> {
  armCrashPoint(process.env);
  const config = workerConfigFrom(process.env);
  logger.info({ roles: config.roles, ffmpeg: config.ffmpegPath ?? 'none: videos are not decoded' }, 'Worker starts');
  const onReady = (): void => {
    announceReady(process);
    logger.info('Worker is ready');
  };
  await runWorkers({ config, logger, resources, stop, onReady });
}

main()
  .catch((error: unknown) => {
    if (error instanceof ConfigError)
      logger.fatal(error.message); // for the person who set it: no stack
    else logger.fatal({ err: error }, 'Worker failed');
    process.exitCode = 1;
  })
  .finally(async () => {
    stopInTime(process, logger);
    for (const { name, error } of await resources.release()) logger.warn({ err: error, name }, 'Could not release');
    if (process.connected) process.disconnect();
    logger.info('Worker has stopped');
  })
  .catch(() => undefined); // nothing above can throw
