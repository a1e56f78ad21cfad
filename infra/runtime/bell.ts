/** Wakes those who wait for work, one for each ring: what is to be done is work for one. */
export class Bell {
  readonly #waiting = new Set<() => void>();
  #isRung = false;

  /** Wakes one who waits; when nobody does, the next one does not wait. */
  ring(): void {
    const [wakeFirst] = this.#waiting;
    if (wakeFirst === undefined) this.#isRung = true;
    else wakeFirst();
  }

  /** Resolves at a ring, after `ms`, or when the signal aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    const isDue = this.#isRung || signal.aborted;
    this.#isRung = false;
    if (isDue) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake, { once: true });
      this.#waiting.add(wake);
    });
  }
}
