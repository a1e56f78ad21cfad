import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import { migrate } from '../../infra/postgres/migrate.js';
import { startRecoveryCleanup } from '../../workers/recovery-cleanup.js';
import { silentLogger } from '../activities/support/activity-world.js';
import { createTestDatabase } from '../support/stack.js';
import { until } from '../support/until.js';

const HOUR_MS = 3_600_000;
let connection: DatabaseConnection;

beforeAll(async () => {
  const url = await createTestDatabase();
  await migrate(url, silentLogger);
  connection = openDatabase({ url, poolSize: 2, onIdleError: () => undefined });
});
afterAll(async () => {
  await connection.close();
});

/** A generation with one checkpoint, which ended so many hours ago; `null`: it is still under way. */
async function withCheckpoint(id: string, endedHoursAgo: number | null): Promise<void> {
  const end = endedHoursAgo === null ? {} : { finished_at: new Date(Date.now() - endedHoursAgo * HOUR_MS) };
  await connection.database
    .insertInto('generations')
    .values({
      ...{ id, template: 'graph', graph_key: 'graphs/a.json', metadata: '{}', workflow_input: '{}', asked: '{}' },
      ...(endedHoursAgo !== null && { status: 'FAILED', failure_kind: 'TIMEOUT', failure: '{}' }),
      ...end,
    })
    .execute();
  await connection.database
    .insertInto('recovery_attempts')
    .values({ generation_id: id, attempt: 1, kind: 'TIMEOUT', strategy: 'resume', message: 'Resumed' })
    .execute();
  await connection.database
    .insertInto('checkpoints')
    .values({
      ...{ generation_id: id, attempt: 1, progress_percent: 40, graph_key: 'graphs/a.json' },
      ...{ completed_nodes: '["1"]', files: '[]' },
    })
    .execute();
}

test('R5.12 checkpoints of generations that ended longer ago than CHECKPOINT_RETENTION_HOURS are removed, no others', async () => {
  await withCheckpoint('long-ago', 3);
  await withCheckpoint('just-now', 1);
  await withCheckpoint('under-way', null);
  const cleanup = startRecoveryCleanup({ database: connection.database, logger: silentLogger, retentionHours: 2 });
  const left = await until('one is removed', async () => {
    const rows = await connection.database.selectFrom('checkpoints').select('generation_id').execute();
    return rows.length < 3 ? rows.map(({ generation_id: id }) => id).sort() : null;
  });
  expect(left).toEqual(['just-now', 'under-way']);
  await cleanup.stop();
});
