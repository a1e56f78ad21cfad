import type { BackendReport } from '../workflows/contracts/backend-report.js';

/** Where the claims of one backend come from and what its ComfyUI has: by this it chooses, and this it reports. */
export class PollingState {
  readonly #listeners: (() => void)[] = [];
  #report: Required<Pick<BackendReport, 'polls' | 'loadedModels' | 'queueChanges'>>;
  #offers: ReadonlySet<string> | null = null;

  constructor(polls: string) {
    this.#report = { polls, loadedModels: [], queueChanges: 0 };
  }

  get report(): Required<Pick<BackendReport, 'polls' | 'loadedModels' | 'queueChanges'>> {
    return this.#report;
  }

  /** Model files of its ComfyUI, `null` until they were read. */
  get offers(): ReadonlySet<string> | null {
    return this.#offers;
  }

  changedTo(polls: string): void {
    this.#become({ polls, queueChanges: this.#report.queueChanges + 1 });
  }

  /** A graph without heavy models leaves in memory what is there. */
  loaded(loadedModels: readonly string[]): void {
    if (loadedModels.length === 0 || loadedModels.join('\n') === this.#report.loadedModels.join('\n')) return;
    this.#become({ loadedModels });
  }

  offering(files: readonly string[]): void {
    this.#offers = new Set(files);
  }

  /** Called after every change of the report. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #become(change: Partial<PollingState['report']>): void {
    this.#report = { ...this.#report, ...change };
    for (const listener of this.#listeners) listener();
  }
}
