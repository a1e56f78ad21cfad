import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { Database } from '../infra/postgres/database.js';
import type { DatabaseSchema } from '../infra/postgres/database-schema.js';
import { crashPoint } from '../infra/runtime/crash-point.js';
import type { FalCeilings } from '../infra/runtime/fal-config.js';
import type { FalActivities, FalReservation, ReserveFalInput } from '../workflows/contracts/fal.js';
import { falUsdOfDay } from './database/fal-spending.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { NO_FAL_KEY } from './fal/errors.js';

export interface ReserveFalDeps {
  readonly database: Database;
  readonly hasKey: boolean;
  readonly ceilings: FalCeilings;
}

/** Any number, but the same for everybody who reserves: two at once could pass the ceiling together. */
const RESERVING_LOCK = 720_431;

export function createReserveFal(deps: ReserveFalDeps): FalActivities['reserveFal'] {
  /** Safe to retry: a generation has one reservation, which stands once it is made. */
  return async function reserveFal(input) {
    if (!deps.hasKey) return { obstacle: NO_FAL_KEY };
    try {
      const reservation = await deps.database
        .transaction()
        .execute(async (transaction) => reserve(transaction, deps.ceilings, input));
      crashPoint('reserveFal.mid');
      return reservation;
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

async function reserve(
  transaction: Transaction<DatabaseSchema>,
  ...[{ usdPerGeneration, usdPerDay }, { generationId, modelId, usd }]: [FalCeilings, ReserveFalInput]
): Promise<FalReservation> {
  if (usd > usdPerGeneration) {
    return { obstacle: `it may cost ${usd} US$ there, and FAL_MAX_USD_PER_GENERATION is ${usdPerGeneration}` };
  }
  await sql`SELECT pg_advisory_xact_lock(${RESERVING_LOCK})`.execute(transaction);
  const known = await transaction
    .selectFrom('fal_reservations')
    .select(['generation_id', 'model_id'])
    .where('generation_id', '=', generationId)
    .executeTakeFirst();
  if (known !== undefined) return { obstacle: null };
  const spent = await falUsdOfDay(transaction);
  if (spent + usd > usdPerDay) {
    const ceiling = `FAL_MAX_USD_PER_DAY is ${usdPerDay}`;
    const obstacle = `${spent} US$ are set aside for the last 24 hours, it may cost ${usd}, and ${ceiling}`;
    return { obstacle, isPassing: usd <= usdPerDay };
  }
  await transaction
    .insertInto('fal_reservations')
    .values({ generation_id: generationId, model_id: modelId, usd })
    .execute();
  return { obstacle: null };
}
