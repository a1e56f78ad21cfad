/** Two stages of stopping: asked once in order, asked again at once. */
export interface StopSignals {
  readonly stop: AbortSignal;
  readonly killNow: AbortSignal;
}

/** npm passes a signal on that the terminal has sent to the whole group already: that is still the first one. */
const SAME_KEYPRESS_MS = 500;
const LOOK_AT_PARENT_EVERY_MS = 1_000;

/**
 * Ctrl-C, SIGTERM, or the end of the process that started this one with an IPC channel. With `endsWithParent` the end
 * of any parent: npm hands a SIGTERM to a shell that dies of it and leaves its program running.
 */
export function listenForStopSignals(ownProcess: NodeJS.Process, { endsWithParent = false } = {}): StopSignals {
  const stop = new AbortController();
  const killNow = new AbortController();
  let askedAt = 0;
  const onSignal = () => {
    if (!stop.signal.aborted) {
      askedAt = Date.now();
      stop.abort(new Error('Stopped'));
    } else if (Date.now() - askedAt > SAME_KEYPRESS_MS) {
      killNow.abort();
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) ownProcess.on(signal, onSignal);
  ownProcess.on('disconnect', onSignal);
  if (endsWithParent) whenParentEnds(ownProcess, onSignal);
  return { stop: stop.signal, killNow: killNow.signal };
}

function whenParentEnds(ownProcess: NodeJS.Process, onEnd: () => void): void {
  const parent = ownProcess.ppid;
  const timer = setInterval(() => {
    if (ownProcess.ppid === parent) return;
    clearInterval(timer);
    onEnd();
  }, LOOK_AT_PARENT_EVERY_MS);
  timer.unref();
}
