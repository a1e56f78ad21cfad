const LOOK_EVERY_MS = 1_000;

/** Calls `onEnd` once the parent has ended. npm sends SIGTERM to its shell only; the shell ends and leaves the program running. */
export function whenParentEnds(onEnd) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onEnd();
  }, LOOK_EVERY_MS);
  timer.unref();
}
