import type { Database } from '../../infra/postgres/database.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { inputFileOf } from '../../workflows/domain/input-files.js';
import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import { MAX_PLACES, pointerOf } from '../schemas/problem-places.js';

/**
 * Refuses a graph that names a file by its path of ours which is not stored, because it never was or was removed. Throws
 * `input_unusable` with every place.
 */
export async function refuseMissingInputs(database: Database, graph: ApiGraph): Promise<void> {
  const named = Object.entries(graph).flatMap(([nodeId, { inputs }]) =>
    Object.entries(inputs).flatMap(([input, value]) => {
      const file = inputFileOf(value);
      return file === null ? [] : [{ nodeId, input, path: String(value), objectKey: file.objectKey }];
    }),
  );
  const stored = await storedAmong(database, [...new Set(named.map(({ objectKey }) => objectKey))]);
  const places = named
    .filter(({ objectKey }) => !stored.has(objectKey))
    .slice(0, MAX_PLACES)
    .map(({ nodeId, input, path }): ProblemPlace => ({
      pointer: pointerOf(['graph', nodeId, 'inputs', input]),
      nodeId,
      message: `names ${path}, which is no upload that is ready; it may have been removed`,
    }));
  const [first] = places;
  if (first !== undefined) throw new ProblemError('input_unusable', `${first.pointer} ${first.message}.`, { places });
}

async function storedAmong(database: Database, objectKeys: readonly string[]): Promise<ReadonlySet<string | null>> {
  if (objectKeys.length === 0) return new Set();
  const rows = await database
    .selectFrom('uploads')
    .select('object_key')
    .where('object_key', 'in', objectKeys)
    .execute();
  return new Set(rows.map((row) => row.object_key));
}
