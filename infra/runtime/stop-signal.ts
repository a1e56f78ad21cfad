/**
 * Aborted when the process is asked to stop: SIGINT, SIGTERM, or the end of the process that started it and holds its
 * IPC channel. A parent that was killed cannot say goodbye, but its channel closes.
 */
export function stopSignalOf(self: NodeJS.Process): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => {
    controller.abort();
  };
  self.once('SIGINT', stop);
  self.once('SIGTERM', stop);
  if (self.connected) self.once('disconnect', stop);
  return controller.signal;
}

/** Tells the process that started this one, if it listens, that it is up. */
export function announceReady(self: NodeJS.Process, url?: string): void {
  if (self.connected) self.send?.({ kind: 'ready', ...(url !== undefined && { url }) });
}
