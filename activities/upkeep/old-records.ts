import { cancellationSignal, log } from '@temporalio/activity';
import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { ControlUpkeep } from '../../workflows/contracts/upkeep.js';
import { NOTHING_REMOVED, addTallies } from '../../workflows/domain/removal-tally.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import { claimKey } from '../storage/claim-record.js';
import { falRecordsPrefix } from '../storage/fal-record.js';
import type { ObjectStore } from '../storage/object-store.js';

export interface OldRecordsDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  /** Does Temporal know a Workflow of this generation, open or closed? */
  readonly isKnown: (generationId: string) => Promise<boolean>;
}

const PAGE = 100;

export function createFindOldRecords({ database }: Pick<OldRecordsDeps, 'database'>): ControlUpkeep['findOldRecords'] {
  /** Safe to retry: it only looks. */
  return async function findOldRecords() {
    const rows = await database
      .selectFrom('generations')
      .select('id')
      .where('outputs_removed_at', 'is not', null)
      .where('records_removed_at', 'is', null)
      .orderBy('finished_at')
      .limit(PAGE)
      .execute();
    return rows.map(({ id }) => id);
  };
}

export function createRemoveOldRecords({
  database,
  store,
  isKnown,
}: OldRecordsDeps): ControlUpkeep['removeOldRecords'] {
  /**
   * Safe to retry: it removes what is there. As long as Temporal knows the Workflow it may be reset, and then only the
   * records keep it from rendering again and from paying fal.ai again; so they are kept until it is forgotten.
   */
  return async function removeOldRecords(generationIds) {
    return heartbeatWhile(async () => {
      for (const id of generationIds) {
        cancellationSignal().throwIfAborted();
        if (await isKnown(id)) continue;
        for (const key of await store.keysUnder(falRecordsPrefix(id))) await store.remove(key);
        await store.remove(claimKey(id));
        await database
          .updateTable('generations')
          .set({ records_removed_at: sql<Date>`now()` })
          .where('id', '=', id)
          .execute();
      }
      const { gone } = await database
        .selectFrom('generations')
        .select(sql<string>`count(records_removed_at)`.as('gone'))
        .where('id', 'in', generationIds)
        .executeTakeFirstOrThrow();
      const tally = addTallies(NOTHING_REMOVED, { files: Number(gone), kept: generationIds.length - Number(gone) });
      log.info('Removed records of what Temporal has forgotten', { ...tally });
      return tally;
    });
  };
}
