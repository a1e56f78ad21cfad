import type { Readable } from 'node:stream';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { ObjectStoreError } from '../../activities/storage/errors.js';
import type { Database } from '../../infra/postgres/database.js';
import { ProblemError } from '../problem-error.js';

export interface OutputFile {
  readonly objectKey: string;
  readonly mediaType: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Stored results, found by generation and number. */
export interface OutputFiles {
  /** `null` when the generation has no output of that number; throws `output_gone` when it was removed after its time. */
  find(generationId: string, index: number): Promise<OutputFile | null>;
  /** Throws `output_gone` when the object no longer exists. */
  open(file: OutputFile, range?: { readonly offset: number; readonly length: number }): Promise<Readable>;
  exists(file: OutputFile): Promise<boolean>;
}

export function createOutputFiles(deps: { readonly database: Database; readonly store: ObjectStore }): OutputFiles {
  return {
    async find(generationId, index) {
      const row = await deps.database
        .selectFrom('outputs')
        .innerJoin('generations', 'generations.id', 'outputs.generation_id')
        .selectAll('outputs')
        .select('generations.outputs_removed_at')
        .where('generation_id', '=', generationId)
        .where('index', '=', index)
        .executeTakeFirst();
      if (row === undefined) return null;
      if (row.outputs_removed_at !== null) throw outputGone(row.outputs_removed_at);
      return { objectKey: row.object_key, mediaType: row.media_type, bytes: Number(row.bytes), sha256: row.sha256 };
    },
    async open(file, range) {
      try {
        return await deps.store.open(file.objectKey, range);
      } catch (error) {
        if (error instanceof ObjectStoreError && error.code === 'NoSuchKey') throw outputGone();
        throw error;
      }
    },
    exists: async ({ objectKey }) => (await deps.store.facts(objectKey)) !== null,
  };
}

/** The row is kept longer than the file. */
export function outputGone(removedAt: Date | null = null): ProblemError {
  const detail =
    removedAt === null
      ? 'The file of this output is no longer in the object store.'
      : `The file of this output was kept for its time and removed at ${removedAt.toISOString()}.`;
  return new ProblemError('output_gone', detail);
}
