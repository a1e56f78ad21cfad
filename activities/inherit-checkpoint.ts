import { cancellationSignal, log } from '@temporalio/activity';
import type { Database } from '../infra/postgres/database.js';
import type { CheckpointActivities, Resumption } from '../workflows/contracts/checkpoint.js';
import type { StoredOutput } from '../workflows/contracts/generation.js';
import { readResumption } from './database/resumption.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import type { ObjectFacts, ObjectStore } from './storage/object-store.js';

export interface InheritCheckpointDeps {
  readonly database: Database;
  readonly store: ObjectStore;
}

/** Below every real one: what this generation renders itself may take the place of a copy. */
const COPIED = { submission: '0' };

export function createInheritCheckpoint({
  database,
  store,
}: InheritCheckpointDeps): CheckpointActivities['inheritCheckpoint'] {
  /** Safe to retry: it copies the same objects to the same keys, and nothing of this generation is rendered before. */
  return async function inheritCheckpoint({ generationId, from }) {
    try {
      return await heartbeatWhile(async () => {
        const left = await readResumption(database, from);
        if (left === null) return null;
        const stored: StoredOutput[] = [];
        for (const output of left.stored) {
          cancellationSignal().throwIfAborted();
          const copy = await copied(store, output, generationId);
          if (copy === null) return withoutParts(left);
          stored.push(copy);
        }
        log.info('Took over what another generation has stored', { from, outputs: stored.length });
        return { ...left, stored };
      });
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

/** Bytes and hash are those that were validated; `null` when they are not there any more. */
async function copied(
  store: ObjectStore,
  ...[output, generationId]: [StoredOutput, string]
): Promise<StoredOutput | null> {
  const { objectKey: source, bytes, sha256, mediaType } = output;
  const isSame = (facts: ObjectFacts | null): boolean =>
    facts?.bytes === bytes && (facts.sha256 === null || facts.sha256 === sha256);
  if (!isSame(await store.facts(source))) return null;
  const objectKey = source.replace(/^jobs\/[^/]+\//, `jobs/${generationId}/`);
  await store.copy(source, objectKey, { mediaType, metadata: COPIED });
  return isSame(await store.facts(objectKey)) ? { ...output, objectKey } : null;
}

/** The whole batch is rendered again; what was copied of it is replaced or removed by then. */
function withoutParts(left: Resumption): Resumption {
  log.warn('A stored part is not there any more; the whole batch is rendered again');
  return { ...left, stored: [], left: [] };
}
