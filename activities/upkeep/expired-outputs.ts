import { cancellationSignal, log } from '@temporalio/activity';
import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import type { ControlUpkeep } from '../../workflows/contracts/upkeep.js';
import { NOTHING_REMOVED, addTallies } from '../../workflows/domain/removal-tally.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import { discardOutputs } from '../storage/discard-outputs.js';
import type { ObjectStore } from '../storage/object-store.js';

export interface ExpiredOutputsDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly retentionDays: number;
}

const PAGE = 100;

export function createFindExpiredOutputs({
  database,
  retentionDays,
}: Omit<ExpiredOutputsDeps, 'store'>): ControlUpkeep['findExpiredOutputs'] {
  /** Safe to retry: it only looks. Also generations without a result: what they may have left is removed, too. */
  return async function findExpiredOutputs() {
    const rows = await database
      .selectFrom('generations')
      .select('id')
      .where('finished_at', '<', sql<Date>`now() - make_interval(days => ${retentionDays})`)
      .where('outputs_removed_at', 'is', null)
      .orderBy('finished_at')
      .limit(PAGE)
      .execute();
    return rows.map(({ id }) => id);
  };
}

export function createRemoveExpiredOutputs({
  database,
  store,
}: Omit<ExpiredOutputsDeps, 'retentionDays'>): ControlUpkeep['removeExpiredOutputs'] {
  /**
   * Safe to retry: objects first, then the row that says so, so that nothing is left without a trace; until then a reader
   * is told by the store that the file is gone. The tally is of what was found, which is gone at the end.
   */
  return async function removeExpiredOutputs(generationIds) {
    return heartbeatWhile(async () => {
      for (const id of generationIds) {
        cancellationSignal().throwIfAborted();
        await discardOutputs(store, id);
        crashPoint('removeExpiredOutputs.mid');
        await database
          .updateTable('generations')
          .set({ outputs_removed_at: sql<Date>`now()` })
          .where('id', '=', id)
          .where('finished_at', 'is not', null)
          .execute();
      }
      const { files, bytes } = await database
        .selectFrom('outputs')
        .select([sql<string>`count(*)`.as('files'), sql<string>`coalesce(sum(bytes), 0)`.as('bytes')])
        .where('generation_id', 'in', generationIds)
        .executeTakeFirstOrThrow();
      const tally = addTallies(NOTHING_REMOVED, { files: Number(files), bytes: Number(bytes) });
      log.info('Removed delivered results', { ...tally });
      return tally;
    });
  };
}
