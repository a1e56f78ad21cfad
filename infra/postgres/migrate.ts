import { join } from 'node:path';
import { runner } from 'node-pg-migrate';
import type { Logger } from '../runtime/logger.js';
import { projectRoot } from '../runtime/project-root.js';

/** Brings the schema up to date under an advisory lock: several processes may start at once, one of them migrates. */
export async function migrate(databaseUrl: string, logger: Logger): Promise<void> {
  const applied = await runner({
    databaseUrl: { connectionString: databaseUrl, connectionTimeoutMillis: 5_000 },
    dir: join(projectRoot, 'infra', 'postgres', 'migrations'),
    direction: 'up',
    migrationsTable: 'schema_migrations',
    singleTransaction: true,
    advisoryLockMode: 'wait',
    log: () => undefined, // its own log repeats the SQL
  });
  for (const { name } of applied) logger.info({ migration: name }, 'Applied a database migration');
}
