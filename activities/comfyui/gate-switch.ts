import type { GatePosition } from '../../workflows/domain/backend-gate.js';

export type { GatePosition } from '../../workflows/domain/backend-gate.js';

/** What operators want of one backend, whatever its health: the slot supplier and every submission look at it. */
export class GateSwitch {
  #position: GatePosition = 'open';
  readonly #listeners: (() => void)[] = [];

  get position(): GatePosition {
    return this.#position;
  }

  set(position: GatePosition): void {
    if (position === this.#position) return;
    this.#position = position;
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
