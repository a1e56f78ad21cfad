import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { DataFolder } from '../data-folder.js';
import { processIdentityOf } from '../../runtime/process-identity.js';
import type { ProcessSpec } from './process-spec.js';

const pidFileSchema = z.object({
  name: z.string(),
  pid: z.number().int(),
  startedAt: z.string(),
  marker: z.string(),
  stopSignal: z.enum(['SIGINT', 'SIGTERM']),
});

export type PidFile = Readonly<z.infer<typeof pidFileSchema>>;

const SUFFIX = '.pid.json';

/** Writes down what was started, so that the next start can find what a killed one left behind. */
export function writePidFile(folder: DataFolder, spec: ProcessSpec, pid: number): void {
  const { name, marker, stopSignal } = spec;
  const file: PidFile = { name, pid, startedAt: processIdentityOf(pid)?.startedAt ?? '', marker, stopSignal };
  writeFileSync(pathOf(folder, name), JSON.stringify(file));
}

/** Forgets a process that has ended. */
export function removePidFile(folder: DataFolder, name: string): void {
  rmSync(pathOf(folder, name), { force: true });
}

/** All that is written down and can be read. */
export function readPidFiles(folder: DataFolder): readonly PidFile[] {
  return readdirSync(folder.run)
    .filter((name) => name.endsWith(SUFFIX))
    .flatMap((name) => {
      try {
        return [pidFileSchema.parse(JSON.parse(readFileSync(join(folder.run, name), 'utf8')))];
      } catch {
        return []; // half a file, from a start that was killed while writing it
      }
    });
}

function pathOf(folder: DataFolder, name: string): string {
  return join(folder.run, `${name}${SUFFIX}`);
}
