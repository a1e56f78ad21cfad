import { changesWhatWasAsked, mayChange } from './past-recovery.js';
import type { PastRecovery } from './past-recovery.js';
import {
  ADJUST_PARAMS,
  FALL_BACK,
  FREE_MEMORY,
  OTHER_BACKEND,
  REDUCE_PARAMS,
  RETRY_KNOWN,
  SPLIT_BATCH,
  SWITCH_MODEL,
  TILED_DECODE,
} from './recoveries.js';
import type { Recovery } from './recoveries.js';
import type { RecoveryPolicy } from './recovery-policy.js';
import type { RecoveryRule, RuleStrategy } from './recovery-rule.js';
import { byRule } from './recovery-texts.js';

const BY_STRATEGY = {
  retry: RETRY_KNOWN,
  free_memory: FREE_MEMORY,
  split_batch: SPLIT_BATCH,
  tiled_decode: TILED_DECODE,
  reduce_params: REDUCE_PARAMS,
  switch_model: SWITCH_MODEL,
  other_backend: OTHER_BACKEND,
  fal: FALL_BACK,
} as const satisfies Record<Exclude<RuleStrategy, 'abort'>, Recovery>;

/**
 * What a rule of the operators says stands before the built-in ones. These follow where it is not possible or was done often
 * enough, and count what it has done as their own; only `abort`, and `fal` from which nothing comes back, stand alone.
 */
export function recoveriesByRule(
  rule: RecoveryRule,
  ...[builtIn, past, policy]: [readonly Recovery[], readonly PastRecovery[], RecoveryPolicy]
): readonly Recovery[] {
  if (rule.strategy === 'abort') return [];
  const own = stepOf(rule, past, policy);
  const standsAlone = rule.strategy !== undefined && rule.isFollowedByBuiltIn !== true;
  const hasGoneToFal = rule.strategy === 'fal' && own !== null;
  const following = standsAlone || hasGoneToFal ? [] : builtIn;
  const others = following.filter(({ strategy, change }) => strategy !== own?.strategy || change !== own.change);
  const steps = own === null ? others : [own, ...others];
  return steps.map((step) => ({ ...step, message: byRule(step.message, rule.name) }));
}

/** Its own step; `null` when it has none, has done it often enough, or must not. */
function stepOf(rule: RecoveryRule, ...[past, policy]: [readonly PastRecovery[], RecoveryPolicy]): Recovery | null {
  const { name, strategy, adjust, maxRetries } = rule;
  if (strategy === undefined || strategy === 'abort') return null;
  const recovery: Recovery = BY_STRATEGY[strategy];
  if (past.filter((tried) => tried.rule === name).length >= maxRetries) return null;
  if (changesWhatWasAsked(recovery) && !mayChange(past, policy)) return null;
  return { ...(adjust.length > 0 ? { ...ADJUST_PARAMS, adjust } : recovery), rule: name };
}
