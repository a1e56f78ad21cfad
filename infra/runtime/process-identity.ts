import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** What tells a process from a later one with the same id. */
export interface ProcessIdentity {
  readonly startedAt: string;
  readonly commandLine: string;
}

/** The living process with this id, or `null`. One that ended and was not collected yet is not living. */
export function processIdentityOf(pid: number): ProcessIdentity | null {
  return existsSync('/proc/self/stat') ? fromProc(pid) : fromPs(pid);
}

function fromProc(pid: number): ProcessIdentity | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may hold spaces: count from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = fields[0];
    if (state === 'Z' || state === 'X') return null;
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return { startedAt: fields[19] ?? '', commandLine };
  } catch {
    return null; // no such process
  }
}

/** macOS has no /proc. */
function fromPs(pid: number): ProcessIdentity | null {
  try {
    const fields = ['-o', 'lstart=', '-o', 'command='];
    const line = execFileSync('ps', [...fields, '-p', `${pid}`], { encoding: 'utf8', env: { LC_ALL: 'C' } }).trim();
    const [, startedAt = '', commandLine = ''] = /^(\w+ \w+ +\d+ [\d:]+ \d+) +(.*)$/.exec(line) ?? [];
    return startedAt === '' ? null : { startedAt, commandLine };
  } catch {
    return null;
  }
}
