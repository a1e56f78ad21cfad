import { isRecord } from './is-record.js';

export const FAULT_KINDS = ['crash', 'hang', 'slow', 'vanish'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** A fault armed through POST /simulator/faults: fires where everything it names matches, `count` times. */
export interface Fault {
  readonly kind: FaultKind;
  readonly nodeType?: string;
  readonly promptId?: string;
  /** 1-based sampling step at which a crash or hang happens; absent = before the node starts. */
  readonly atStep?: number;
  /** slow: how many times longer a step takes. */
  readonly factor: number;
  /** How often it still fires. */
  count: number;
}

/** Where an execution stands when it asks whether something is to go wrong. */
export interface FaultPoint {
  readonly promptId: string;
  readonly nodeType?: string;
  readonly step?: number;
}

/** Faults consulted at fixed points of an execution: `atPromptStart`, `atNodeStart`, `atStep`, `stepFactor`. */
export class Faults {
  #armed: Fault[] = [];
  readonly #onFire: (kind: FaultKind, point: FaultPoint) => void;

  constructor(onFire: (kind: FaultKind, point: FaultPoint) => void) {
    this.#onFire = onFire;
  }

  arm(fault: Fault): void {
    this.#armed.push(fault);
  }

  clear(): void {
    this.#armed = [];
  }

  list(): readonly Fault[] {
    return this.#armed;
  }

  /** Before anything of a prompt is announced; a vanish that names a node type waits for that node. */
  atPromptStart(point: FaultPoint): void {
    if (this.#take('vanish', (fault) => fault.nodeType === undefined, point)) throw new VanishedPrompt();
  }

  async atNodeStart(point: FaultPoint): Promise<void> {
    if (this.#take('vanish', () => true, point)) throw new VanishedPrompt();
    await this.#stop((fault) => fault.atStep === undefined, point);
  }

  async atStep(point: FaultPoint): Promise<void> {
    await this.#stop((fault) => fault.atStep === point.step, point);
  }

  /** How many times longer than usual this node's steps take. */
  stepFactor(point: FaultPoint): number {
    return this.#take('slow', () => true, point)?.factor ?? 1;
  }

  async #stop(applies: (fault: Fault) => boolean, point: FaultPoint): Promise<void> {
    if (this.#take('crash', applies, point)) {
      // What was sent so far leaves the process first, as it does when a real server dies in a long kernel.
      await new Promise((resolve) => setTimeout(resolve, 5));
      process.kill(process.pid, 'SIGKILL');
      await never();
    }
    if (this.#take('hang', applies, point)) await never();
  }

  #take(kind: FaultKind, applies: (fault: Fault) => boolean, point: FaultPoint): Fault | undefined {
    const fault = this.#armed.find((each) => each.kind === kind && matches(each, point) && applies(each));
    if (fault === undefined) return undefined;
    fault.count -= 1;
    this.#armed = this.#armed.filter((each) => each.count > 0);
    this.#onFire(kind, point);
    return fault;
  }
}

/** The prompt is gone from the queue and will never reach the history, as after a lost worker. */
export class VanishedPrompt extends Error {
  override readonly name = 'VanishedPrompt';
}

/** The fault a request body describes, or the sentence that says what is wrong with it. */
export function faultFrom(body: unknown): Fault | string {
  if (!isRecord(body)) return 'The body must be a JSON object';
  const kind = FAULT_KINDS.find((each) => each === body['kind']);
  if (kind === undefined) return `kind must be one of: ${FAULT_KINDS.join(', ')}`;
  const { nodeType, promptId, atStep, factor = 10, count = kind === 'slow' ? Infinity : 1 } = body;
  if (typeof factor !== 'number' || !(factor > 0)) return 'factor must be a number above 0';
  if (typeof count !== 'number' || !(count >= 1)) return 'count must be a number of at least 1';
  return {
    kind,
    factor,
    count,
    ...(typeof nodeType === 'string' && { nodeType }),
    ...(typeof promptId === 'string' && { promptId }),
    ...(typeof atStep === 'number' && { atStep }),
  };
}

function matches(fault: Fault, point: FaultPoint): boolean {
  return (
    (fault.promptId === undefined || fault.promptId === point.promptId) &&
    (fault.nodeType === undefined || fault.nodeType === point.nodeType)
  );
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
