import { createCleanSpool } from '../activities/upkeep/clean-spool.js';
import type { ComfyUIFolders } from '../activities/upkeep/comfyui-folders.js';
import { createFindOldFiles } from '../activities/upkeep/find-old-files.js';
import { createRemoveOldFiles } from '../activities/upkeep/remove-old-files.js';
import { readClaim } from '../activities/storage/claim-record.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import type { BackendUpkeep } from '../workflows/contracts/upkeep.js';
import type { UpkeepConfig } from './upkeep-config.js';

export interface BackendUpkeepOptions {
  readonly comfyUIDir: string | null;
  readonly spoolFolder: string;
  readonly store: ObjectStore;
  readonly upkeep: UpkeepConfig;
}

/** R4.6 */
const TEMP_SECONDS = 60 * 60;
const INPUT_SECONDS = 7 * 24 * 60 * 60;

/** What lies on the machine of one ComfyUI. */
export function backendUpkeep({ comfyUIDir, spoolFolder, store, upkeep }: BackendUpkeepOptions): BackendUpkeep {
  const { fileMaxAgeSeconds, comfyUICleanup: scope } = upkeep;
  const maxAgeSeconds = { output: fileMaxAgeSeconds, temp: TEMP_SECONDS, input: INPUT_SECONDS };
  const folders: ComfyUIFolders | null = comfyUIDir === null ? null : { base: comfyUIDir, scope, maxAgeSeconds };
  return {
    findOldFiles: createFindOldFiles({ folders }),
    removeOldFiles: createRemoveOldFiles({ folders }),
    cleanSpool: createCleanSpool({
      folder: spoolFolder,
      maxAgeSeconds: fileMaxAgeSeconds,
      isNeeded: async (generationId) => (await readClaim(store, generationId))?.ended === false,
    }),
  };
}
