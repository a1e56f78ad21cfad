import type { Logger } from './logger.js';

/** Longer than the Workers give their activities and everything takes that is released after them. */
const STOP_WITHIN_MS = 25_000;
/** What the last line of a process says that would not have ended. */
export const STOPPED_LATE = 'Did not stop in time, and ends now';

/**
 * From now on the process has 25 s to end by itself. One that is still there then says what keeps it and exits with 1: who
 * started it waits for its end, and whatever it was doing is taken up by the next one.
 */
export function stopInTime(self: NodeJS.Process, logger: Logger, withinMs = STOP_WITHIN_MS): void {
  const timer = setTimeout(() => {
    logger.fatal({ keptBy: [...new Set(self.getActiveResourcesInfo())], withinMs }, STOPPED_LATE);
    self.exit(1);
  }, withinMs);
  timer.unref(); // it must not be what keeps the process
}
