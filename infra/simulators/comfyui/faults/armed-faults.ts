import type { Fault, FaultKind } from './fault-kinds.js';

/** Where an execution or a request stands when it asks whether something is to go wrong. */
export interface FaultPoint {
  readonly promptId?: string;
  readonly nodeType?: string;
  readonly step?: number;
  readonly path?: string;
  readonly method?: string;
}

/** Of these `durationMs` says how long they stay armed. */
const REQUEST_KINDS: readonly FaultKind[] = ['slow_rest', 'login_page', 'unauthorized', 'forbidden', 'nan_json'];

/** Faults that wait for their moment, in the order in which they were armed. */
export class ArmedFaults {
  #faults: Fault[] = [];
  readonly #onFire: (fault: Fault, point: FaultPoint) => void;

  constructor(onFire: (fault: Fault, point: FaultPoint) => void) {
    this.#onFire = onFire;
  }

  arm(fault: Fault): void {
    this.#faults.push(fault);
    if (fault.durationMs === undefined || !REQUEST_KINDS.includes(fault.kind)) return;
    const remove = () => {
      this.#faults = this.#faults.filter((each) => each !== fault);
    };
    setTimeout(remove, fault.durationMs).unref();
  }

  clear(): void {
    this.#faults = [];
  }

  list(): readonly Fault[] {
    return this.#faults;
  }

  /** The first fault of these kinds that fires here; it has then fired once more. */
  take(kinds: readonly FaultKind[], point: FaultPoint, applies: (fault: Fault) => boolean = () => true): Fault | null {
    const fault = this.#faults.find((each) => kinds.includes(each.kind) && matches(each, point) && applies(each));
    if (fault === undefined) return null;
    fault.count -= 1;
    this.#faults = this.#faults.filter((each) => each.count > 0);
    this.#onFire(fault, point);
    return fault;
  }
}

function matches({ promptId, nodeType, path, method }: Fault, point: FaultPoint): boolean {
  return (
    (promptId === undefined || promptId === point.promptId) &&
    (nodeType === undefined || [nodeType].flat().includes(point.nodeType ?? '')) &&
    (path === undefined || pathsOf(point.path ?? '').some((each) => each.startsWith(path))) &&
    (method === undefined || method === point.method)
  );
}

/** A route is served at `/x` and `/api/x`. */
function pathsOf(path: string): readonly string[] {
  return [path, path.replace(/^\/api(?=\/)/, '')];
}
