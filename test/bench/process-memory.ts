import { existsSync, readFileSync } from 'node:fs';

/** Memory of one process in MiB: `rss` counts shared pages whole, `pss` its share of them; `null` where /proc is absent. */
export interface ProcessMemory {
  readonly rssMiB: number;
  readonly pssMiB: number;
}

export function memoryOf(pid: number): ProcessMemory | null {
  const path = `/proc/${pid}/smaps_rollup`;
  if (!existsSync(path)) return null;
  const text = readFileSync(path, 'utf8');
  return { rssMiB: mebibytesIn(text, 'Rss'), pssMiB: mebibytesIn(text, 'Pss') };
}

/** The most that the process ever had resident, in MiB; `null` where /proc is absent. */
export function peakMemoryOf(pid: number): number | null {
  const path = `/proc/${pid}/status`;
  return existsSync(path) ? mebibytesIn(readFileSync(path, 'utf8'), 'VmHWM') : null;
}

function mebibytesIn(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024;
}
