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
import type { PastRecovery } from '../../workflows/domain/past-recovery.js';
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
  isFollowedByBuiltIn: true,
  ...facts,
});

/** Lets a failure that the rule knows happen again and again. */
function storyOf(matched: RecoveryRule, policy = DEFAULT_RECOVERY): readonly string[] {
  const past: PastRecovery[] = [];
  while (past.length < 60) {
    const failure = { kind: matched.kind, mediaFaults: [], isAbandoned: false, rule: matched };
    const [recovery] = decideRecovery(failure, past, policy);
    if (recovery === undefined) return [...past.map(({ strategy }) => strategy), 'give_up'];
    expect(recovery.message).toMatch(/ \(rule mine\)$/);
    const { strategy, rule: own } = recovery;
    past.push({ kind: matched.kind, strategy, ...(own !== undefined && { rule: own }) });
  }
  return past.map(({ strategy }) => strategy);
}

describe('R5.1 What a rule of the operators does', () => {
  test('its strategy first, as often as it says, then the built-in ones, which count what it has done as theirs', () => {
    const hostOom = rule({ kind: 'HOST_OOM', strategy: 'other_backend', maxRetries: 2 });
    expect(storyOf(hostOom)).toEqual(['other_backend', 'other_backend', 'free_all', 'give_up']);
    const none = rule({ kind: 'HOST_OOM', strategy: 'retry', maxRetries: 0 });
    expect(storyOf(none)).toEqual(storyOfKind('HOST_OOM'));
    expect(storyOf(rule({ kind: 'WORKFLOW_ERROR', strategy: 'retry', maxRetries: 1 }))).toEqual(['retry', 'give_up']);
  });

  test('where it is not possible the built-in ones are there at once, and none of them twice', () => {
    const failure = { kind: 'HOST_OOM', mediaFaults: [], isAbandoned: false } as const;
    const matched = rule({ kind: 'HOST_OOM', strategy: 'other_backend' });
    const steps = decideRecovery({ ...failure, rule: matched }, [], DEFAULT_RECOVERY);
    expect(steps.map(({ strategy }) => strategy)).toEqual(['other_backend', 'free_all']);
    expect(steps.map(({ rule: own }) => own)).toEqual(['mine', undefined]);
  });

  test('nothing follows abort, and nothing comes between a failure and fal.ai', () => {
    expect(storyOf(rule({ strategy: 'abort' }))).toEqual(['give_up']);
    expect(storyOf(rule({ strategy: 'fal', maxRetries: 9 }))).toEqual(['fal', 'give_up']);
  });

  test('a failure that a worker of an earlier version has reported is given up after the rule, as histories have it', () => {
    const { isFollowedByBuiltIn: _, ...earlier } = rule({ strategy: 'other_backend' });
    expect(storyOf(earlier)).toEqual(['other_backend', 'other_backend', 'give_up']);
  });

  test('what is said of an adjustment and of a retry is true of every rule', () => {
    const messageOf = (matched: RecoveryRule) =>
      decideRecovery(
        { kind: matched.kind, mediaFaults: [], isAbandoned: false, rule: matched },
        [],
        DEFAULT_RECOVERY,
      )[0]?.message;
    const adjust = [{ parameter: 'steps', operation: 'multiply', factor: 0.5 }] as const;
    expect(messageOf(rule({ adjust }))).toBe('Parameters are changed, and it is rendered again (rule mine)');
    expect(messageOf(rule({ kind: 'WORKFLOW_ERROR', strategy: 'retry' }))).toBe(
      'The generation is tried once more (rule mine)',
    );
  });

  test('without a strategy it only gives the failure its kind', () => {
    expect(storyOf({ name: 'mine', kind: 'HOST_OOM', adjust: [], maxRetries: 1 })).toEqual(storyOfKind('HOST_OOM'));
  });

  test.each(['reduce_params', 'switch_model'] as const)('%s obeys strict and MAX_RETRY_ATTEMPTS', (strategy) => {
    const asked = { kind: 'WORKFLOW_ERROR', strategy } as const; // after which nothing built-in is tried
    expect(storyOf(rule(asked), { ...DEFAULT_RECOVERY, isStrict: true })).toEqual(['give_up']);
    expect(storyOf(rule({ ...asked, maxRetries: 9 }))).toEqual([strategy, strategy, strategy, 'give_up']);
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
