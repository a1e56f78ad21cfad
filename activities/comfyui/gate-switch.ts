export const GATE_POSITIONS = ['open', 'draining', 'closed'] as const;

/** `draining`: no new claims, what was claimed is still submitted; `closed`: no submissions, either. */
export type GatePosition = (typeof GATE_POSITIONS)[number];

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
