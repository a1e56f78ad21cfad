import { isDeepStrictEqual } from 'node:util';
import type { GateHold, GatePosition } from '../../workflows/domain/backend-gate.js';

export type { GatePosition } from '../../workflows/domain/backend-gate.js';

/** What operators want of one backend, whatever its health: the slot supplier and every submission look at it. */
export class GateSwitch {
  #position: GatePosition = 'open';
  #holds: readonly GateHold[] = [];
  readonly #listeners: (() => void)[] = [];

  get position(): GatePosition {
    return this.#position;
  }

  /** Why it is not open, as far as that was told. */
  get holds(): readonly GateHold[] {
    return this.#holds;
  }

  set(position: GatePosition, holds: readonly GateHold[] = []): void {
    if (position === this.#position && isDeepStrictEqual(holds, this.#holds)) return;
    this.#position = position;
    this.#holds = holds;
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
