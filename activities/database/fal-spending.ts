import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';

/** US dollars that were set aside for fal.ai in the last 24 hours: what `FAL_MAX_USD_PER_DAY` counts. */
export async function falUsdOfDay(database: Kysely<DatabaseSchema>): Promise<number> {
  const { usd } = await database
    .selectFrom('fal_reservations')
    .select((row) => row.fn.coalesce(row.fn.sum<string>('usd'), sql<string>`0`).as('usd'))
    .where('created_at', '>', sql<Date>`now() - interval '24 hours'`)
    .executeTakeFirstOrThrow();
  return Number(usd);
}
