import type { Env } from '../../infra/runtime/env.js';

/** What a command sees of the process. */
export interface Terminal {
  readonly env: Env;
  readonly say: (line: string) => void;
}
