const LOOK_EVERY_MS = 1_000;

/** Calls `onEnd` once the parent has ended: npm hands a SIGTERM to a shell that dies of it and leaves its program running. */
export function whenParentEnds(onEnd) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onEnd();
  }, LOOK_EVERY_MS);
  timer.unref();
}
