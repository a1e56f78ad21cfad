import { removeCheckpoints } from '../../activities/database/remove-checkpoints.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import type { Database } from '../../infra/postgres/database.js';

/** What is kept of renderings that failed on the way. */
export interface Checkpoints {
  count(generationId: string): Promise<number>;
  /** Those of generations that ended longer ago than this; answers how many. */
  remove(hours: number): Promise<number>;
}

export function createCheckpoints(deps: { readonly database: Database; readonly store: ObjectStore }): Checkpoints {
  const { database } = deps;
  return {
    async count(generationId) {
      const { count } = await database
        .selectFrom('checkpoints')
        .select((row) => row.fn.countAll<string>().as('count'))
        .where('generation_id', '=', generationId)
        .executeTakeFirstOrThrow();
      return Number(count);
    },
    remove: async (hours) => removeCheckpoints(deps, hours),
  };
}
