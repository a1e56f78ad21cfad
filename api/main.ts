import { createObjectStore } from '../activities/storage/object-store.js';
import { migrate } from '../infra/postgres/migrate.js';
import { createLogger } from '../infra/runtime/logger.js';
import { ResourceStack } from '../infra/runtime/resource-stack.js';
import { apiConfigFrom } from './api-config.js';
import { startApi } from './start-api.js';

const logger = createLogger({ name: 'api', level: process.env['LOG_LEVEL'] ?? 'info' });
const resources = new ResourceStack();

main()
  .catch((error: unknown) => {
    logger.error({ err: error }, 'The API failed');
    process.exitCode = 1;
  })
  .finally(async () => {
    for (const { name, error } of await resources.release()) logger.warn({ name, err: error }, 'Could not be released');
    if (process.connected) process.disconnect();
  });

async function main(): Promise<void> {
  const stopped = stopRequest();
  const config = apiConfigFrom(process.env);
  await migrate(config.databaseUrl, logger);
  await createObjectStore(config.storage).createBucketIfAbsent();
  const { url } = await startApi({ config, logger, resources });
  logger.info({ url }, 'The API is ready');
  process.send?.({ kind: 'ready', url });
  logger.info({ reason: await stopped }, 'The API is stopping');
}

/** Resolves when somebody wants the process to end: a signal, or a parent that is gone. */
async function stopRequest(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'disconnect']) process.once(signal, () => resolve(signal));
  });
}
