import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  UNADAPTED,
  adaptedEdge,
  adaptedGraph,
  nextAdaptation,
  parametersOf,
} from '../../workflows/domain/adaptation.js';
import { FAILURE_KINDS } from '../../workflows/domain/failure.js';
import { decideRecovery } from '../../workflows/domain/recovery.js';
import type { PastRecovery } from '../../workflows/domain/recovery.js';
import { DEFAULT_RECOVERY } from '../../workflows/domain/recovery-policy.js';
import {
  ADJUSTMENT_OPERATIONS,
  RULE_STRATEGIES,
  adjustedValue,
  recoveryRuleFrom,
} from '../../workflows/domain/recovery-rule.js';
import type { RecoveryRule } from '../../workflows/domain/recovery-rule.js';

const rule = (facts: Partial<RecoveryRule> = {}): RecoveryRule => ({
  ...{ name: 'mine', kind: 'CUDA_OOM', strategy: 'reduce_params', adjust: [], maxRetries: 2 },
  ...facts,
});

/** Lets a failure that the rule knows happen again and again. */
function storyOf(matched: RecoveryRule, policy = DEFAULT_RECOVERY): readonly string[] {
  const past: PastRecovery[] = [];
  while (past.length < 30) {
    const failure = { kind: matched.kind, mediaFaults: [], isAbandoned: false, rule: matched };
    const [recovery] = decideRecovery(failure, past, policy);
    if (recovery === undefined) return [...past.map(({ strategy }) => strategy), 'give_up'];
    past.push({ kind: matched.kind, strategy: recovery.strategy, rule: matched.name });
  }
  return past.map(({ strategy }) => strategy);
}

describe('R5.1 What a rule of the operators does', () => {
  test('its strategy, as often as it says, instead of the built-in ladder', () => {
    expect(storyOf(rule({ strategy: 'other_backend' }))).toEqual(['other_backend', 'other_backend', 'give_up']);
    expect(storyOf(rule({ strategy: 'abort' }))).toEqual(['give_up']);
    expect(storyOf(rule({ strategy: 'fal', maxRetries: 9 }))).toEqual(['fal', 'give_up']);
    expect(storyOf(rule({ kind: 'WORKFLOW_ERROR', strategy: 'retry', maxRetries: 1 }))).toEqual(['retry', 'give_up']);
  });

  test('without a strategy it only gives the failure its kind', () => {
    expect(storyOf({ name: 'mine', kind: 'HOST_OOM', adjust: [], maxRetries: 1 })).toEqual(storyOfKind('HOST_OOM'));
  });

  test.each(['reduce_params', 'switch_model'] as const)('%s obeys strict and MAX_RETRY_ATTEMPTS', (strategy) => {
    expect(storyOf(rule({ strategy }), { ...DEFAULT_RECOVERY, isStrict: true })).toEqual(['give_up']);
    expect(storyOf(rule({ strategy, maxRetries: 9 }))).toEqual([strategy, strategy, strategy, 'give_up']);
  });

  test('every rule ends', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...FAILURE_KINDS),
        fc.constantFrom(...RULE_STRATEGIES),
        fc.integer({ min: 0, max: 10 }),
        (kind, strategy, maxRetries) => storyOf(rule({ kind, strategy, maxRetries })).at(-1) === 'give_up',
      ),
    );
  });

  test('its adjustments are made on every node that has such a number, again each time, and never below the minimum', () => {
    const graph = {
      1: { class_type: 'KSampler', inputs: { steps: 30, cfg: 7.5, model: ['9', 0] } },
      2: { class_type: 'MyNode', inputs: { steps: 9, tiles: 'many', width: 1000 } },
    };
    const adjust = [
      { parameter: 'steps', operation: 'multiply', factor: 0.5, min: 10 },
      { parameter: 'cfg', operation: 'subtract', factor: 0.7 },
      { parameter: 'width', operation: 'multiply', factor: 0.9 },
      { parameter: 'model', operation: 'set', factor: 1 },
    ] as const;
    const once = nextAdaptation(graph, UNADAPTED, 'adjust_params', { substitutes: [], adjust }) ?? UNADAPTED;
    expect(adaptedGraph(graph, once)).toEqual({
      1: { class_type: 'KSampler', inputs: { steps: 15, cfg: 6.8, model: ['9', 0] } },
      2: { class_type: 'MyNode', inputs: { steps: 9, tiles: 'many', width: 896 } },
    });
    const twice = nextAdaptation(graph, once, 'adjust_params', { substitutes: [], adjust }) ?? UNADAPTED;
    expect(parametersOf(graph, twice, ['cfg'])).toMatchObject({ steps: 10 });
    expect(adaptedEdge(1000, 'width', twice)).toBe(800);
    expect(adaptedEdge(1000, 'height', twice)).toBe(1000);
    const none = [{ parameter: 'tiles', operation: 'set', factor: 1 }] as const;
    expect(nextAdaptation(graph, UNADAPTED, 'adjust_params', { substitutes: [], adjust: none })).toBeNull();
  });

  test('no value falls below the minimum, and what is below it stays', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        fc.record({
          parameter: fc.constantFrom('width', 'steps'),
          operation: fc.constantFrom(...ADJUSTMENT_OPERATIONS),
          factor: fc.double({ min: -1e3, max: 1e3, noNaN: true }),
        }),
        (value, adjustment) => {
          const changed = adjustedValue(value, { ...adjustment, min: 64 });
          return value <= 64 ? changed === value : changed >= 64;
        },
      ),
    );
  });

  test.each([
    null,
    'mine',
    {},
    { ...rule(), kind: 'OOM' },
    { ...rule(), strategy: 'pray' },
    { ...rule(), maxRetries: '2' },
    { ...rule(), adjust: [{ parameter: 'steps' }] },
  ])('a failure that carries %j carries no rule', (fact) => {
    expect(recoveryRuleFrom(fact)).toBeNull();
  });

  test('a rule goes through a history unchanged', () => {
    const known = rule({ adjust: [{ parameter: 'steps', operation: 'set', factor: 1, min: 0 }] });
    expect(recoveryRuleFrom(JSON.parse(JSON.stringify(known)))).toEqual(known);
  });
});

function storyOfKind(kind: RecoveryRule['kind']): readonly string[] {
  const past: PastRecovery[] = [];
  for (;;) {
    const [recovery] = decideRecovery({ kind, mediaFaults: [], isAbandoned: false }, past, DEFAULT_RECOVERY);
    if (recovery === undefined) return [...past.map(({ strategy }) => strategy), 'give_up'];
    past.push({ kind, strategy: recovery.strategy });
  }
}
