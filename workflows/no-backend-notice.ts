/** What was said of the fleet is not true for longer. */
const HOLDS_MS = 30_000;

/** That no backend is healthy, as the watcher of the fleet says it now and then. */
export class NoBackendNotice {
  #atMs = Number.NEGATIVE_INFINITY;
  #listener: (() => void) | null = null;

  note(): void {
    this.#atMs = Date.now();
    this.#listener?.();
  }

  /** Called when that is seen, and at once when it was a moment ago; `null`: nobody waits for it. */
  listen(listener: (() => void) | null): void {
    this.#listener = listener;
    if (Date.now() - this.#atMs < HOLDS_MS) listener?.();
  }

  /** There is nowhere else to go: it waits until it is told again. */
  forget(): void {
    this.#atMs = Number.NEGATIVE_INFINITY;
  }
}
