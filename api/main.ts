import { once } from 'node:events';
import { createObjectStore } from '../activities/storage/object-store.js';
import { migrate } from '../infra/postgres/migrate.js';
import { ConfigError } from '../infra/runtime/env.js';
import { createLogger, logLevelFrom } from '../infra/runtime/logger.js';
import { ResourceStack } from '../infra/runtime/resource-stack.js';
import { stopInTime } from '../infra/runtime/stop-in-time.js';
import { announceReady, stopSignalOf } from '../infra/runtime/stop-signal.js';
import { apiConfigFrom } from './api-config.js';
import { startApi } from './start-api.js';
import { armCrashPoint } from '../infra/runtime/crash-point.js';

const logger = createLogger({ name: 'api', level: logLevelFrom(process.env) });
const resources = new ResourceStack();
const stop = stopSignalOf(process);
stop.addEventListener('abort', () => {
  stopInTime(process, logger);
});

main()
  .catch((error: unknown) => {
    if (error instanceof ConfigError)
      logger.fatal(error.message); // for the person who set it: no stack
    else logger.fatal({ err: error }, 'The API failed');
    process.exitCode = 1;
  })
  .finally(async () => {
    stopInTime(process, logger);
    for (const { name, error } of await resources.release()) logger.warn({ name, err: error }, 'Could not be released');
    if (process.connected) process.disconnect();
  });

async function main(): Promise<void> {
  armCrashPoint(process.env);
  const config = apiConfigFrom(process.env);
  await migrate(config.databaseUrl, logger);
  await createObjectStore(config.storage).createBucketIfAbsent();
  const { url } = await startApi({ config, logger, resources });
  logger.info({ url }, 'The API is ready');
  announceReady(process, url);
  if (!stop.aborted) await once(stop, 'abort');
  logger.info('The API is stopping');
}
