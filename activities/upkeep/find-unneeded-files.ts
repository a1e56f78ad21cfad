import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { ControlUpkeep } from '../../workflows/contracts/upkeep.js';

export function createFindUnneededFiles(deps: { readonly database: Database }): ControlUpkeep['findUnneededFiles'] {
  const { database } = deps;
  /** Safe to retry: it only looks. What this database does not know is not answered, so it stays. */
  return async function findUnneededFiles({ generationIds, inputs }) {
    const open = await database
      .selectFrom('generations')
      .select('id')
      .where('finished_at', 'is', null)
      .limit(1)
      .execute();
    const ended = await endedOf(database, generationIds);
    const unneeded = await unneededInputs(database, inputs.map(sha256Of));
    return {
      generationIds: generationIds.filter((id) => ended.has(id)),
      inputs: inputs.filter((name) => unneeded.has(sha256Of(name))),
      othersToo: open.length === 0,
    };
  };
}

function sha256Of(inputName: string): string {
  return inputName.split('.')[0] ?? '';
}

async function endedOf(database: Database, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const rows = await database
    .selectFrom('generations')
    .select('id')
    .where('id', 'in', ids)
    .where('finished_at', 'is not', null)
    .execute();
  return new Set(rows.map(({ id }) => id));
}

async function unneededInputs(database: Database, hashes: readonly string[]): Promise<ReadonlySet<string>> {
  if (hashes.length === 0) return new Set();
  const rows = await database
    .selectFrom('generation_inputs')
    .innerJoin('generations', 'generations.id', 'generation_inputs.generation_id')
    .select('sha256')
    .where('sha256', 'in', hashes)
    .groupBy('sha256')
    .having(sql<boolean>`bool_and(finished_at IS NOT NULL)`)
    .execute();
  return new Set(rows.map(({ sha256 }) => sha256));
}
