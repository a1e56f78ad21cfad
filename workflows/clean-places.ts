import { backendUpkeepOptions, controlUpkeepOptions } from './activity-options.js';
import type { UpkeepUrgency } from './activity-options.js';
import type { FoundOldFiles } from './contracts/upkeep.js';
import { mayGo, ownersOf } from './domain/old-files.js';
import { NOTHING_REMOVED, addTallies } from './domain/removal-tally.js';
import type { RemovalTally } from './domain/removal-tally.js';

/** What is left then is old enough for the next run, too; without a bound the history of one run had none. */
const MAX_PAGES = 100;

/** A worker without a database finds, one with a database says what may go, and the first removes that. */
export async function cleanComfyUI(backendId: string, urgency: UpkeepUrgency = 'none'): Promise<RemovalTally> {
  const { findOldFiles, removeOldFiles } = backendUpkeepOptions(backendId, 'Old files of ComfyUI', urgency);
  const { findUnneededFiles } = controlUpkeepOptions('Which of them nobody needs', urgency);
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

export async function cleanSpoolOf(backendId: string, urgency: UpkeepUrgency = 'none'): Promise<RemovalTally> {
  return backendUpkeepOptions(backendId, 'Spool', urgency).cleanSpool();
}

export async function cleanUploads(urgency: UpkeepUrgency = 'none'): Promise<RemovalTally> {
  const { findOldUploads, removeOldUploads, countNeededUploads } = controlUpkeepOptions(
    'Uploads that nobody uses',
    urgency,
  );
  const removed = await inPages(findOldUploads, removeOldUploads);
  return addTallies(removed, { kept: await countNeededUploads() });
}

export async function cleanStaleObjects(): Promise<RemovalTally> {
  const { findStaleObjects, removeStaleObjects } = controlUpkeepOptions('Uploads that never arrived');
  return inPages(findStaleObjects, removeStaleObjects);
}

export async function cleanOutputs(urgency: UpkeepUrgency = 'none'): Promise<RemovalTally> {
  const { findExpiredOutputs, removeExpiredOutputs } = controlUpkeepOptions(
    'Results that were kept for their time',
    urgency,
  );
  return inPages(findExpiredOutputs, removeExpiredOutputs);
}

export async function cleanRecords(): Promise<RemovalTally> {
  const { findOldRecords, removeOldRecords } = controlUpkeepOptions('Records of what Temporal has forgotten');
  return inPages(findOldRecords, removeOldRecords);
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
