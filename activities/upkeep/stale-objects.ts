import { cancellationSignal } from '@temporalio/activity';
import type { ControlUpkeep, StoredFile } from '../../workflows/contracts/upkeep.js';
import { INCOMING_PREFIX } from '../../workflows/domain/input-files.js';
import { NOTHING_REMOVED, addTallies } from '../../workflows/domain/removal-tally.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import type { ObjectStore } from '../storage/object-store.js';

/** No upload takes this long. */
export const INCOMING_MAX_AGE_HOURS = 24;

const PAGE = 200;

export function createFindStaleObjects({ store }: { readonly store: ObjectStore }): ControlUpkeep['findStaleObjects'] {
  /** Safe to retry: it only looks. */
  return async function findStaleObjects() {
    const beforeMs = Date.now() - INCOMING_MAX_AGE_HOURS * 3_600_000;
    return heartbeatWhile(async () => {
      const found: StoredFile[] = [];
      for await (const { key, bytes, modifiedAtMs } of store.objectsUnder(INCOMING_PREFIX)) {
        cancellationSignal().throwIfAborted();
        if (modifiedAtMs < beforeMs) found.push({ key, bytes });
        if (found.length >= PAGE) break;
      }
      return found;
    });
  };
}

export function createRemoveStaleObjects(deps: { readonly store: ObjectStore }): ControlUpkeep['removeStaleObjects'] {
  /** Safe to retry: an object that is not there is removed already, by an earlier attempt. */
  return async function removeStaleObjects(objects) {
    return heartbeatWhile(async () => {
      for (const { key } of objects) {
        cancellationSignal().throwIfAborted();
        await deps.store.remove(key);
      }
      const bytes = objects.reduce((sum, object) => sum + object.bytes, 0);
      return addTallies(NOTHING_REMOVED, { files: objects.length, bytes });
    });
  };
}
