import { isCancellation, log, setCurrentDetails } from '@temporalio/workflow';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import { backendUpkeepOptions, controlUpkeepOptions } from './activity-options.js';
import { UPKEEP_TASKS } from './contracts/upkeep.js';
import type { FoundOldFiles, RemovalReport, UpkeepInput, UpkeepReport } from './contracts/upkeep.js';
import { NOTHING_REMOVED, addTallies } from './domain/removal-tally.js';
import type { RemovalTally } from './domain/removal-tally.js';
import { mayGo, ownersOf } from './domain/old-files.js';
import { tellUpkeep } from './upkeep-story.js';

/** What is left then is old enough for the next run, too; without a bound the history of one run had none. */
const MAX_PAGES = 100;

/**
 * Removes what was kept for its time, place by place. A place that cannot be cleaned is reported and holds up no other.
 * Nothing here decides what is needed: every `remove…` looks again at what it is about to remove.
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

const cleanTask = { files: cleanFiles, 'recovery-data': cleanRecoveryData, outputs: cleanOutputs };

async function cleanFiles(clean: Clean): Promise<void> {
  await Promise.all([
    cleanBackends(clean),
    clean('spool for fal.ai', controlUpkeepOptions('Spool for fal.ai').cleanSpool),
    clean('uploads', async () => {
      const uploads = controlUpkeepOptions('Uploads that nobody uses');
      const removed = await inPages(uploads.findOldUploads, uploads.removeOldUploads);
      return addTallies(removed, { kept: await uploads.countNeededUploads() });
    }),
    clean('unfinished uploads', async () => {
      const { findStaleObjects, removeStaleObjects } = controlUpkeepOptions('Uploads that never arrived');
      return inPages(findStaleObjects, removeStaleObjects);
    }),
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
      await clean(`spool of backend ${backendId}`, backendUpkeepOptions(backendId, 'Spool').cleanSpool);
    }),
  );
}

async function cleanRecoveryData(clean: Clean): Promise<void> {
  await clean('checkpoints and idempotency keys', controlUpkeepOptions('Old rows').removeRecoveryData);
}

async function cleanOutputs(clean: Clean): Promise<void> {
  await clean('delivered results', async () => {
    const { findExpiredOutputs, removeExpiredOutputs } = controlUpkeepOptions('Results that were kept for their time');
    return inPages(findExpiredOutputs, removeExpiredOutputs);
  });
  await clean('claim and fal.ai records', async () => {
    const { findOldRecords, removeOldRecords } = controlUpkeepOptions('Records of what Temporal has forgotten');
    return inPages(findOldRecords, removeOldRecords);
  });
}

/** A worker without a database finds, one with a database says what may go, and the first removes that. */
async function cleanComfyUI(backendId: string): Promise<RemovalTally> {
  const { findOldFiles, removeOldFiles } = backendUpkeepOptions(backendId, 'Old files of ComfyUI');
  const { findUnneededFiles } = controlUpkeepOptions('Which of them nobody needs');
  let total = NOTHING_REMOVED;
  let after: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { found, next }: FoundOldFiles = await findOldFiles({ after });
    if (found.length > 0) {
      const unneeded = await findUnneededFiles(ownersOf(found));
      const going = found.filter((files) => mayGo(files, unneeded));
      const kept = found.filter((files) => !going.includes(files)).reduce((sum, { files }) => sum + files, 0);
      if (going.length > 0) total = addTallies(total, await removeOldFiles({ found: going }));
      total = addTallies(total, { kept });
    }
    if (next === null) break;
    after = next;
  }
  return total;
}

/** What stays of a page would be found again at once, so it is left to the next run, with all that comes after it. */
async function inPages<Item>(
  find: () => Promise<readonly Item[]>,
  remove: (page: readonly Item[]) => Promise<RemovalTally>,
): Promise<RemovalTally> {
  let total = NOTHING_REMOVED;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const found = await find();
    if (found.length === 0) break;
    const removed = await remove(found);
    total = addTallies(total, removed);
    if (removed.kept > 0 || removed.failed > 0) break;
  }
  return total;
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
