/** Remembers a wake-up that comes while nobody waits, so that none is lost between a look and a wait. */
export interface WakeSignal {
  wake(): void;
  /** Resolves at the next wake-up, after `ms`, or when `signal` aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function createWakeSignal(): WakeSignal {
  let isPending = false;
  let resume: (() => void) | null = null;
  return {
    wake() {
      isPending = true;
      resume?.();
    },
    async wait(ms, signal) {
      if (!isPending && !signal.aborted) await pause(ms, signal, (callback) => (resume = callback));
      isPending = false;
      resume = null;
    },
  };
}

async function pause(ms: number, signal: AbortSignal, expose: (resume: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
    expose(finish);
  });
}
