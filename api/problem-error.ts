import { PROBLEMS } from './problems.js';
import type { ProblemCode } from './problems.js';

/** One place of the request that is wrong. */
export interface ProblemPlace {
  /** JSON pointer into the body, or `?name` for a query parameter. */
  readonly pointer: string;
  readonly message: string;
  /** Node of the graph, where there is one. */
  readonly nodeId?: string;
  /** The values or the range that would be right, where that can be said in full. */
  readonly allowed?: unknown;
  /** The names most like an unknown one, best first. */
  readonly closest?: readonly string[];
}

export interface ProblemExtras {
  readonly places?: readonly ProblemPlace[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Where more can be said than the remedy of the code. */
  readonly remedy?: string;
  /** For the log, never for the caller. */
  readonly cause?: unknown;
}

/** A problem whose words are written for callers: the only error whose message leaves the process. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly code: ProblemCode;
  readonly places: readonly ProblemPlace[];
  readonly headers: Readonly<Record<string, string>>;
  readonly remedy: string;

  constructor(code: ProblemCode, detail: string, more: ProblemExtras = {}) {
    super(detail, { cause: more.cause });
    this.code = code;
    this.places = more.places ?? [];
    this.headers = more.headers ?? {};
    this.remedy = more.remedy ?? PROBLEMS[code].remedy;
  }
}
