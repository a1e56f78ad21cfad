import type { RemovalReport, UpkeepTask } from './contracts/upkeep.js';

const BYTES_PER_MIB = 1024 ** 2;

/** Current details in the Web UI: what was removed, where, and what was not. */
export function tellUpkeep(task: UpkeepTask, places: readonly RemovalReport[]): string {
  const lines = places.map(({ place, files, bytes, kept, failed, errors }) =>
    [
      `- ${place}: **${files}** removed, ${(bytes / BYTES_PER_MIB).toFixed(1)} MiB`,
      ...(kept === 0 ? [] : [`${kept} kept because they are needed`]),
      ...(failed === 0 ? [] : [`**${failed} failed** (${errors.join('; ')})`]),
    ].join(', '),
  );
  return [`**Upkeep of ${task}**`, lines.length === 0 ? 'has just begun' : lines.join('\n')].join('\n\n');
}
