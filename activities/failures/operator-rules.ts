import { searchedTextOf } from '../../workflows/domain/classify-execution-error.js';
import type { RecoveryRule } from '../../workflows/domain/recovery-rule.js';
import { ExecutionFailedError, PromptRejectedError } from '../comfyui/errors.js';

/** A rule of `RECOVERY_CONFIG`, and what it is recognised by. */
export interface OperatorRule {
  readonly pattern: RegExp;
  readonly rule: RecoveryRule;
}

/** Every pattern takes at most linear time, and this much text is searched. */
const MAX_SEARCHED_CHARS = 24_000;

/** The first rule that knows what a node, or the validation of a graph, has said. */
export function ruleFor(rules: readonly OperatorRule[], error: unknown): RecoveryRule | null {
  const text = textOf(error);
  if (text === null) return null; // a pattern that matches the empty text must not match an outage
  return rules.find(({ pattern }) => pattern.test(text))?.rule ?? null;
}

function textOf(error: unknown): string | null {
  if (error instanceof ExecutionFailedError) return searchedTextOf(error);
  return error instanceof PromptRejectedError ? error.message.slice(0, MAX_SEARCHED_CHARS) : null;
}
