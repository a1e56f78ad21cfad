import { readFileSync } from 'node:fs';
import { until } from './until.js';

/** Waits until a process has stopped itself (SIGSTOP): its state in /proc is T. */
export async function untilStopped(pid: number, timeoutMs = 60_000): Promise<void> {
  await until(
    `process ${pid} stops itself`,
    async () => /^\d+ \(.*\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')),
    timeoutMs,
  );
}
