import { faultFrom } from './fault-from.js';
import { FAULT_KINDS, factsOf, isFaultKind } from './fault-kinds.js';
import type { Fault, FaultKind } from './fault-kinds.js';

export interface ScheduleOptions {
  readonly seed: number;
  /** Of each prompt, from 0 to 1. */
  readonly rate: number;
  readonly kinds: readonly FaultKind[];
}

/** Arms one fault at the start of some prompts; the same seed in the same life of a simulator draws the same. */
export class FaultSchedule {
  readonly #options: ScheduleOptions;
  readonly #draw: () => number;

  /** @NOTE `life` counts the starts on one data folder: with the seed alone, a crash at the first prompt would recur for ever. */
  constructor(options: ScheduleOptions, life: number) {
    this.#options = options;
    this.#draw = randomFrom(options.seed + life * 7919);
  }

  /** Two draws a prompt, whatever comes of them. */
  next({ promptId }: { readonly promptId?: string }): Fault | null {
    const { rate, kinds } = this.#options;
    const strikes = this.#draw() < rate;
    const kind = kinds[Math.floor(this.#draw() * kinds.length)];
    if (!strikes || kind === undefined) return null;
    const { fields } = factsOf(kind);
    const fault = faultFrom({
      kind,
      ...(fields.includes('count') && { count: 1 }),
      ...(fields.includes('promptId') && promptId !== undefined && { promptId }),
    });
    return typeof fault === 'string' ? null : fault;
  }
}

/** Kinds that say enough without a field of theirs. */
export const SCHEDULED_KINDS: readonly FaultKind[] = Object.keys(FAULT_KINDS)
  .filter(isFaultKind)
  .filter((kind) => (factsOf(kind).required ?? []).length === 0);

/** `seed=7,rate=0.05,kinds=oom+crash`; or the sentence that says what is wrong with it. */
export function scheduleFrom(text: string): ScheduleOptions | string {
  const parts = new Map(text.split(',').map((part) => [part.split('=')[0]?.trim(), part.split('=')[1]?.trim() ?? '']));
  const unknown = [...parts.keys()].find((name) => !['seed', 'rate', 'kinds'].includes(name ?? ''));
  if (unknown !== undefined) return `"${unknown}" is none of: seed, rate, kinds`;
  const seed = Number(parts.get('seed') ?? '1');
  if (!Number.isInteger(seed)) return 'seed must be a whole number';
  const rate = Number(parts.get('rate') ?? '0.1');
  if (!(rate >= 0 && rate <= 1)) return 'rate must be a number from 0 to 1';
  const names = parts.get('kinds')?.split('+') ?? [];
  const kinds = SCHEDULED_KINDS.filter((kind) => names.includes(kind));
  if (kinds.length === 0 || kinds.length < new Set(names).size) {
    return `kinds must be some of these, joined by +: ${SCHEDULED_KINDS.join(', ')}`;
  }
  return { seed, rate, kinds };
}

/** mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
