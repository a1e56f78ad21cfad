import { existsSync, readFileSync, readdirSync } from 'node:fs';

/** The kernel counts in ticks of 10 ms (`getconf CLK_TCK` is 100 on Linux). */
const TICK_MS = 10;

interface ProcessTime {
  readonly pid: number;
  readonly parent: number;
  readonly ms: number;
}

/**
 * User and system time of this process and of all running processes below it, in ms. `null` where /proc is absent. The bench
 * starts servers, service and simulators, so all of them count.
 */
export function processorTimeMs(): number | null {
  if (!existsSync('/proc/self/stat')) return null;
  const all = readdirSync('/proc').filter(isNumber).flatMap(timeOf);
  const sum = (parentPid: number): number =>
    all.filter(({ parent }) => parent === parentPid).reduce((total, { ms, pid }) => total + ms + sum(pid), 0);
  return (all.find(({ pid }) => pid === process.pid)?.ms ?? 0) + sum(process.pid);
}

function isNumber(name: string): boolean {
  return /^\d+$/.test(name);
}

/** Behind the name in /proc/<pid>/stat come the state, the parent, and at 11 and 12 user and system time (proc(5)). */
function timeOf(pid: string): readonly ProcessTime[] {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    const [parent, user, system] = [1, 11, 12].map((index) => Number(fields[index]));
    return [{ pid: Number(pid), parent: parent ?? 0, ms: ((user ?? 0) + (system ?? 0)) * TICK_MS }];
  } catch {
    return []; // it has ended
  }
}
