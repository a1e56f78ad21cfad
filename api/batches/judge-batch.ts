import { setImmediate as nextTurn } from 'node:timers/promises';
import { judgeRequest } from '../generations/prepare-generation.js';
import type { JudgedRequest, PreparationDeps } from '../generations/prepare-generation.js';
import type { AccountLimits } from '../generations/open-limits.js';
import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import { PROBLEMS } from '../problems.js';
import { MAX_PLACES } from '../schemas/problem-places.js';
import type { BatchItem } from './expand-batch.js';
import { resolvingOnce } from './resolving-once.js';

/** Other requests get their turn after so long. */
const SLICE_MS = 10;

/** Judges every generation of a batch; throws `invalid_batch` with everything that is wrong. */
export async function judgeBatch(
  deps: PreparationDeps,
  ...[items, account]: [readonly BatchItem[], AccountLimits]
): Promise<readonly JudgedRequest[]> {
  const once = { ...deps, resolveInputs: resolvingOnce(deps.resolveInputs) };
  const faults = new BatchFaults(items.length);
  const judged: JudgedRequest[] = [];
  let sliceStart = performance.now();
  for (const item of items) {
    try {
      judged.push(await judgeRequest(once, item.body, account));
    } catch (error) {
      faults.add(error, item);
    }
    if (performance.now() - sliceStart < SLICE_MS) continue;
    await nextTurn();
    sliceStart = performance.now();
  }
  faults.throwIfAny();
  return judged;
}

/** What is wrong with a batch: generations of a sweep share places, which are named once. */
export class BatchFaults {
  readonly #total: number;
  readonly #places = new Map<string, ProblemPlace>();
  #bad = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** Throws what is no fault of the request. */
  add(error: unknown, { pointerOf }: BatchItem): void {
    if (!(error instanceof ProblemError) || PROBLEMS[error.code].status >= 500) throw error;
    this.#bad += 1;
    const inner = error.places.length > 0 ? error.places : [{ pointer: '', message: error.message }];
    for (const place of inner) {
      const pointer = pointerOf(place.pointer);
      const key = `${pointer} ${place.message}`;
      if (this.#places.size < MAX_PLACES && !this.#places.has(key)) this.#places.set(key, { ...place, pointer });
    }
  }

  throwIfAny(): void {
    const places = [...this.#places.values()];
    const [first] = places;
    if (first === undefined) return;
    const detail = `${this.#bad} of ${this.#total} generations cannot be accepted. ${first.pointer}: ${first.message}`;
    throw new ProblemError('invalid_batch', detail, { places });
  }
}
