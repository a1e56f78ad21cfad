import { log } from '@temporalio/activity';
import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { ControlUpkeep } from '../../workflows/contracts/upkeep.js';
import { NOTHING_REMOVED, addTallies } from '../../workflows/domain/removal-tally.js';
import type { ObjectStore } from '../storage/object-store.js';
import { removeCheckpoints } from '../database/remove-checkpoints.js';

export interface RemoveRecoveryDataDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly checkpointRetentionHours: number;
}

export function createRemoveRecoveryData({
  database,
  store,
  checkpointRetentionHours,
}: RemoveRecoveryDataDeps): ControlUpkeep['removeRecoveryData'] {
  /** Safe to retry: objects first, then two DELETEs. An attempt that died after one of them is not counted. */
  return async function removeRecoveryData() {
    const checkpoints = await removeCheckpoints({ database, store }, checkpointRetentionHours);
    const idempotencyKeys = await removeIdempotencyKeys(database);
    log.info('Removed checkpoints and idempotency keys', { checkpoints, idempotencyKeys });
    return addTallies(NOTHING_REMOVED, { files: checkpoints + idempotencyKeys });
  };
}

/** After the 24 hours that the API promises a key is not looked at any more, and may be taken again. */
async function removeIdempotencyKeys(database: Database): Promise<number> {
  const { numDeletedRows } = await database
    .deleteFrom('idempotency_keys')
    .where('created_at', '<', sql<Date>`now() - interval '24 hours'`)
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}
