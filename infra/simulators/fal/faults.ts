import { isRecord } from '../comfyui/is-record.js';

export const FAL_FAULT_KINDS = ['error_in_completed', '422', '429', '5xx', 'lost_answer', 'hang', 'bad_file'] as const;
export type FalFaultKind = (typeof FAL_FAULT_KINDS)[number];

/** Calls of the API that a 429 or 5xx may be limited to. */
export const FAL_CALLS = ['submit', 'status', 'result', 'cancel'] as const;
export type FalCall = (typeof FAL_CALLS)[number];

/** What becomes of a file: half of its bytes, none, a page instead, a connection that breaks in the middle, 404. */
export const BAD_FILES = ['truncated', 'empty', 'page', 'cut', 'missing'] as const;
export type BadFile = (typeof BAD_FILES)[number];

/** A fault armed through POST /simulator/faults: happens `count` times. */
export interface FalFault {
  readonly kind: FalFaultKind;
  /** 429 and 5xx: which call is answered so; absent = the next one, whichever it is. */
  readonly on?: FalCall;
  /** 5xx: the status; 503 unless said otherwise. */
  readonly status: number;
  /** 429 and 5xx: `Retry-After`; a 5xx has none unless said otherwise. */
  readonly retryAfterSeconds?: number;
  /** error_in_completed: fal's word for it. */
  readonly errorType: string;
  /** 422: `type` and `loc` of its one detail. */
  readonly detailType: string;
  readonly loc: readonly string[];
  readonly file: BadFile;
  /** How often it still happens. */
  count: number;
}

/** What goes wrong next: each part of the simulator takes what concerns it. */
export class FalFaults {
  #armed: FalFault[] = [];
  readonly #onFire: (fault: FalFault) => void;

  constructor(onFire: (fault: FalFault) => void) {
    this.#onFire = onFire;
  }

  arm(fault: FalFault): void {
    this.#armed.push(fault);
  }

  clear(): void {
    this.#armed = [];
  }

  list(): readonly FalFault[] {
    return this.#armed;
  }

  /** Uses up one happening of the first fault of these kinds that concerns the call. */
  take(kinds: readonly FalFaultKind[], call: FalCall | null = null): FalFault | null {
    const concerns = ({ kind, on }: FalFault) => kinds.includes(kind) && (on === undefined || on === call);
    const fault = this.#armed.find(concerns);
    if (fault === undefined) return null;
    fault.count -= 1;
    this.#armed = this.#armed.filter(({ count }) => count > 0);
    this.#onFire(fault);
    return fault;
  }
}

/** The fault a request body describes, or the sentence that says what is wrong with it. */
export function falFaultFrom(body: unknown): FalFault | string {
  if (!isRecord(body)) return 'The body must be a JSON object';
  const kind = FAL_FAULT_KINDS.find((each) => each === body['kind']);
  if (kind === undefined) return `kind must be one of: ${FAL_FAULT_KINDS.join(', ')}`;
  const on = FAL_CALLS.find((each) => each === body['on']);
  if (body['on'] !== undefined && on === undefined) return `on must be one of: ${FAL_CALLS.join(', ')}`;
  const file = BAD_FILES.find((each) => each === (body['file'] ?? 'truncated'));
  if (file === undefined) return `file must be one of: ${BAD_FILES.join(', ')}`;
  const { count = 1, status = 503, retryAfterSeconds = kind === '429' ? 1 : undefined } = body;
  if (typeof count !== 'number' || !(count >= 1)) return 'count must be a number of at least 1';
  if (typeof status !== 'number' || !(status >= 500 && status <= 599)) return 'status must be from 500 to 599';
  return {
    kind,
    count,
    status,
    file,
    errorType: textOr(body['errorType'], 'runner_server_error'),
    detailType: textOr(body['detailType'], 'content_policy_violation'),
    loc: ['body', textOr(body['field'], 'prompt')],
    ...(on !== undefined && { on }),
    ...(typeof retryAfterSeconds === 'number' && { retryAfterSeconds }),
  };
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}
