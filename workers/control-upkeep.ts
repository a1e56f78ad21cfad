import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { createCleanSpool } from '../activities/upkeep/clean-spool.js';
import { createFindExpiredOutputs, createRemoveExpiredOutputs } from '../activities/upkeep/expired-outputs.js';
import { createFindLiveBackends } from '../activities/upkeep/find-live-backends.js';
import { createFindUnneededFiles } from '../activities/upkeep/find-unneeded-files.js';
import { createFindOldRecords, createRemoveOldRecords } from '../activities/upkeep/old-records.js';
import {
  createCountNeededUploads,
  createFindOldUploads,
  createRemoveOldUploads,
} from '../activities/upkeep/old-uploads.js';
import { createRemoveRecoveryData } from '../activities/upkeep/remove-recovery-data.js';
import { createFindStaleObjects, createRemoveStaleObjects } from '../activities/upkeep/stale-objects.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { generationWorkflowId } from '../workflows/contracts/generation.js';
import type { ControlUpkeep } from '../workflows/contracts/upkeep.js';
import type { Database } from '../infra/postgres/database.js';
import type { UpkeepConfig } from './upkeep-config.js';

export interface ControlUpkeepOptions {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly client: Client;
  /** For files of fal.ai. */
  readonly spoolFolder: string;
  readonly upkeep: UpkeepConfig;
}

/** What needs the database or the object store. */
export function controlUpkeep({ database, store, client, spoolFolder, upkeep }: ControlUpkeepOptions): ControlUpkeep {
  const { fileMaxAgeSeconds: maxAgeSeconds, checkpointRetentionHours } = upkeep;
  const uploads = { database, store, retentionDays: upkeep.uploadRetentionDays };
  const outputs = { database, store, retentionDays: upkeep.outputRetentionDays };
  return {
    findLiveBackends: createFindLiveBackends({ store }),
    findUnneededFiles: createFindUnneededFiles({ database }),
    cleanSpool: createCleanSpool({
      ...{ folder: spoolFolder, maxAgeSeconds },
      isNeeded: async (generationId) => isOpen(database, generationId),
    }),
    findOldUploads: createFindOldUploads(uploads),
    removeOldUploads: createRemoveOldUploads(uploads),
    countNeededUploads: createCountNeededUploads(uploads),
    findStaleObjects: createFindStaleObjects({ store }),
    removeStaleObjects: createRemoveStaleObjects({ store }),
    findExpiredOutputs: createFindExpiredOutputs(outputs),
    removeExpiredOutputs: createRemoveExpiredOutputs(outputs),
    findOldRecords: createFindOldRecords({ database }),
    removeOldRecords: createRemoveOldRecords({ database, store, isKnown: async (id) => isKnown(client, id) }),
    removeRecoveryData: createRemoveRecoveryData({ database, store, checkpointRetentionHours }),
  };
}

async function isOpen(database: Database, generationId: string): Promise<boolean> {
  const row = await database
    .selectFrom('generations')
    .select('id')
    .where('id', '=', generationId)
    .where('finished_at', 'is', null)
    .executeTakeFirst();
  return row !== undefined;
}

async function isKnown(client: Client, generationId: string): Promise<boolean> {
  try {
    await client.workflow.getHandle(generationWorkflowId(generationId)).describe();
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
