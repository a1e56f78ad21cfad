import { FAILURE_KINDS } from './failure.js';
import type { FailureKind } from './failure.js';

/** What a rule of the operators can do; each is what the strategy of that name does by itself. */
export const RULE_STRATEGIES = [
  'retry',
  'free_memory',
  'split_batch',
  'tiled_decode',
  'reduce_params',
  'switch_model',
  'other_backend',
  'fal',
  'abort',
] as const;
export type RuleStrategy = (typeof RULE_STRATEGIES)[number];

export const ADJUSTMENT_OPERATIONS = ['multiply', 'subtract', 'set'] as const;

/** How one parameter of a graph is changed, on every node that has a number under this input name. */
export interface ParameterAdjustment {
  readonly parameter: string;
  readonly operation: (typeof ADJUSTMENT_OPERATIONS)[number];
  readonly factor: number;
  /** Nothing goes below it; what is below it already stays. Absent: there is no limit. */
  readonly min?: number;
}

/** R5.1: a rule of the operators that has matched; it stands before the built-in ones. */
export interface RecoveryRule {
  readonly name: string;
  readonly kind: FailureKind;
  /** Absent: as the kind is recovered from. */
  readonly strategy?: RuleStrategy;
  /** With `reduce_params`: these instead of R5.2's. */
  readonly adjust: readonly ParameterAdjustment[];
  /** How often its step is done in one generation. */
  readonly maxRetries: number;
  /**
   * After its own step the built-in ones are tried. Absent in failures that a worker of an earlier version has reported:
   * those were given up then, as their histories say.
   */
  readonly isFollowedByBuiltIn?: true;
}

/** Whole numbers stay whole, edges stay what a latent can have. */
export function adjustedValue(value: number, { parameter, operation, factor, min }: ParameterAdjustment): number {
  const limit = min ?? Number.NEGATIVE_INFINITY;
  if (value <= limit) return value;
  const changed = operation === 'multiply' ? value * factor : operation === 'subtract' ? value - factor : factor;
  const step = EDGES.includes(parameter) ? EDGE_MULTIPLE_PX : Number.isInteger(value) ? 1 : 0;
  const rounded = step === 0 ? changed : Math.floor(changed / step) * step;
  return Math.max(limit, rounded);
}

const EDGES = ['width', 'height'];
/** ComfyUI's latents are an eighth of a picture each way. */
const EDGE_MULTIPLE_PX = 8;

/** Narrows what a failure carries; `null` when it is no rule of this version. */
export function recoveryRuleFrom(fact: unknown): RecoveryRule | null {
  if (typeof fact !== 'object' || fact === null) return null;
  const { name, kind, strategy, adjust, maxRetries, isFollowedByBuiltIn } = fact as Partial<
    Record<keyof RecoveryRule, unknown>
  >;
  const knownKind = FAILURE_KINDS.find((known) => known === kind);
  if (typeof name !== 'string' || knownKind === undefined || typeof maxRetries !== 'number') return null;
  if (!Array.isArray(adjust) || !adjust.every(isAdjustment)) return null;
  const knownStrategy = RULE_STRATEGIES.find((known) => known === strategy);
  if (strategy !== undefined && knownStrategy === undefined) return null;
  const followed = isFollowedByBuiltIn === true ? ({ isFollowedByBuiltIn: true } as const) : {};
  const rule = { name, kind: knownKind, adjust, maxRetries, ...followed };
  return knownStrategy === undefined ? rule : { ...rule, strategy: knownStrategy };
}

function isAdjustment(value: unknown): value is ParameterAdjustment {
  if (typeof value !== 'object' || value === null) return false;
  const { parameter, operation, factor, min } = value as Partial<Record<keyof ParameterAdjustment, unknown>>;
  const isKnown = ADJUSTMENT_OPERATIONS.some((known) => known === operation);
  return (
    typeof parameter === 'string' &&
    isKnown &&
    typeof factor === 'number' &&
    ['undefined', 'number'].includes(typeof min)
  );
}
