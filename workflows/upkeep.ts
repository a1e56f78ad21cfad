import { isCancellation, log, setCurrentDetails } from '@temporalio/workflow';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import { controlUpkeepOptions } from './activity-options.js';
import {
  cleanComfyUI,
  cleanOutputs,
  cleanRecords,
  cleanSpoolOf,
  cleanStaleObjects,
  cleanUploads,
} from './clean-places.js';
import { UPKEEP_TASKS } from './contracts/upkeep.js';
import type { RemovalReport, UpkeepInput, UpkeepReport } from './contracts/upkeep.js';
import { NOTHING_REMOVED, addTallies } from './domain/removal-tally.js';
import type { RemovalTally } from './domain/removal-tally.js';
import { tellUpkeep } from './upkeep-story.js';

/**
 * Removes what was kept for its time, place by place. A place that cannot be cleaned is reported and holds up no other.
 * What is needed is decided where the database is, page by page, right before anything of that page is removed.
 */
export async function upkeep(input?: Partial<UpkeepInput>): Promise<UpkeepReport> {
  const task = UPKEEP_TASKS.find((known) => known === input?.task);
  if (task === undefined) {
    const message = `The task of upkeep is ${JSON.stringify(input?.task)}, but must be one of ${UPKEEP_TASKS.join(', ')}`;
    throw ApplicationFailure.nonRetryable(message, 'BAD_INPUT');
  }
  let places: readonly RemovalReport[] = [];
  const clean = async (place: string, removal: () => Promise<RemovalTally>): Promise<void> => {
    const tally = await reportedInstead(place, removal);
    places = [...places, { place, ...tally }];
    setCurrentDetails(tellUpkeep(task, places));
  };
  setCurrentDetails(tellUpkeep(task, places));
  await cleanTask[task](clean);
  const { files, bytes } = places.reduce(addTallies, NOTHING_REMOVED);
  const report = { task, removed: { files, bytes }, places };
  log.info('Upkeep is done', { task, files, bytes, places: places.filter(isWorthTelling) });
  return report;
}

type Clean = (place: string, removal: () => Promise<RemovalTally>) => Promise<void>;

const cleanTask = { files: cleanFiles, 'recovery-data': cleanRecoveryData, outputs: cleanResults };

async function cleanFiles(clean: Clean): Promise<void> {
  await Promise.all([
    cleanBackends(clean),
    clean('spool for fal.ai', controlUpkeepOptions('Spool for fal.ai').cleanSpool),
    clean('uploads', async () => cleanUploads()),
    clean('unfinished uploads', cleanStaleObjects),
  ]);
}

async function cleanBackends(clean: Clean): Promise<void> {
  let backends: readonly string[] = [];
  try {
    backends = await controlUpkeepOptions('Backends whose files are looked at').findLiveBackends();
  } catch (error) {
    await clean('files of all backends', async () => {
      throw error;
    });
  }
  await Promise.all(
    backends.map(async (backendId) => {
      await clean(`files of ComfyUI, backend ${backendId}`, async () => cleanComfyUI(backendId));
      await clean(`spool of backend ${backendId}`, async () => cleanSpoolOf(backendId));
    }),
  );
}

async function cleanRecoveryData(clean: Clean): Promise<void> {
  await clean('checkpoints and idempotency keys', controlUpkeepOptions('Old rows').removeRecoveryData);
}

async function cleanResults(clean: Clean): Promise<void> {
  await clean('delivered results', async () => cleanOutputs());
  await clean('claim and fal.ai records', cleanRecords);
}

async function reportedInstead(place: string, removal: () => Promise<RemovalTally>): Promise<RemovalTally> {
  try {
    return await removal();
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('A place could not be cleaned', { place, error });
    const cause = error instanceof ActivityFailure ? error.cause : error;
    return { ...NOTHING_REMOVED, failed: 1, errors: [cause instanceof Error ? cause.message : String(cause)] };
  }
}

function isWorthTelling({ files, kept, failed }: RemovalReport): boolean {
  return files + kept + failed > 0;
}
