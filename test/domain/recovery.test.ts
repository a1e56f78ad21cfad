import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FailureKind } from '../../workflows/domain/failure.js';
import { FAILURE_KINDS } from '../../workflows/domain/failure.js';
import type { MediaFault } from '../../workflows/domain/media-signature.js';
import { MEDIA_FAULTS } from '../../workflows/domain/media-signature.js';
import type { PastRecovery } from '../../workflows/domain/past-recovery.js';
import type { ObservedFailure } from '../../workflows/domain/recovery.js';
import { abandonedRenderingsIn, decideRecovery } from '../../workflows/domain/recovery.js';
import { DEFAULT_RECOVERY } from '../../workflows/domain/recovery-policy.js';

function buildFailure(kind: FailureKind, mediaFaults: readonly MediaFault[] = []): ObservedFailure {
  return { kind, mediaFaults, isAbandoned: false };
}

/** Lets the same failure happen again and again; answers the actions until giving up. */
function storyOf(failures: Iterable<ObservedFailure>, policy = DEFAULT_RECOVERY): string[] {
  const past: PastRecovery[] = [];
  const actions: string[] = [];
  for (const failure of failures) {
    const [recovery] = decideRecovery(failure, past, policy);
    if (recovery === undefined) return [...actions, 'give_up'];
    actions.push(recovery.strategy);
    const { kind, wasRunning } = failure;
    past.push({ kind, strategy: recovery.strategy, ...(wasRunning !== undefined && { wasRunning }) });
  }
  return actions;
}

const forever = (failure: ObservedFailure) => Array<ObservedFailure>(30).fill(failure);
const times = (count: number, strategy: string) => Array<string>(count).fill(strategy);

/** The sum of all limits: nothing recovers a generation more often. */
const MOST_RECOVERIES = 60;

const anyFailure = fc.record({
  kind: fc.constantFrom(...FAILURE_KINDS),
  mediaFaults: fc.array(fc.constantFrom(...MEDIA_FAULTS), { maxLength: 3 }),
  isAbandoned: fc.boolean(),
  limit: fc.constantFrom('render', 'stall', null),
  isStuck: fc.boolean(),
  isWithoutBackend: fc.boolean(),
  isOfNode: fc.boolean(),
  wasRunning: fc.boolean(),
});

describe('R5.7 Recovery', () => {
  test.each([
    ['PROMPT_LOST', [...times(5, 'resubmit'), 'give_up']],
    ['INTERRUPTED', [...times(2, 'resubmit'), 'give_up']],
    ['BACKEND_CRASHED', ['wait_and_resubmit', 'fal', 'give_up']],
    ['NETWORK_ERROR', [...times(3, 'rediscover'), 'fal', 'give_up']],
    ['UNEXPECTED', ['retry', 'give_up']],
    ['DEVICE_POISONED', ['other_backend', 'fal', 'give_up']],
    ['ENVIRONMENT', [...times(2, 'other_backend'), 'give_up']],
    ['MODEL_CORRUPT', [...times(2, 'other_backend'), 'give_up']],
    ['MODEL_INCOMPATIBLE', [...times(2, 'other_backend'), 'give_up']],
    ['HOST_OOM', ['free_all', 'other_backend', 'give_up']],
    ['DISK_FULL', ['clean_up', 'give_up']],
    ['MODEL_MISSING', [...times(2, 'other_backend'), ...times(3, 'switch_model'), 'give_up']],
  ] as const)('%s that never ends is recovered from as often as its limit says', (kind, story) => {
    expect(storyOf(forever(buildFailure(kind)))).toEqual(story);
  });

  test('a worker that is gone is taken over from, as often as a backend that cannot be reached, and is counted', () => {
    const gone = { ...buildFailure('NETWORK_ERROR'), isAbandoned: true };
    const unreachable = buildFailure('NETWORK_ERROR');
    const ofNode = { ...unreachable, isOfNode: true };
    const story = storyOf([gone, ofNode, unreachable, ofNode, gone, gone, gone]);
    expect(story).toEqual(['take_over', 'resubmit', 'rediscover', 'resubmit', 'take_over', 'fal', 'give_up']);
    expect(abandonedRenderingsIn(story.map((strategy) => ({ strategy })))).toBe(2);
  });

  test.each([
    'TIMEOUT',
    'WORKFLOW_ERROR',
    'NO_FACE',
    'BAD_INPUT',
    'INPUT_TOO_LARGE',
    'OUTPUT_TOO_LARGE',
    'NO_CAPACITY',
  ] as const)('R5.6 %s ends the generation at once', (kind) => {
    expect(decideRecovery(buildFailure(kind), [], DEFAULT_RECOVERY)).toEqual([]);
  });

  test('what was running at two crashes, whatever they were, does not meet a third GPU', () => {
    const [crashed, poisoned] = [buildFailure('BACKEND_CRASHED'), buildFailure('DEVICE_POISONED')];
    expect(storyOf([crashed, poisoned])).toEqual(['wait_and_resubmit', 'fal']);
    expect(storyOf([poisoned, crashed])).toEqual(['other_backend', 'fal']);
  });

  test('a prompt that only waited when its ComfyUI crashed is no suspect, and does not wait for ever either', () => {
    const waiting = { ...buildFailure('BACKEND_CRASHED'), wasRunning: false };
    const running = { ...buildFailure('BACKEND_CRASHED'), wasRunning: true };
    expect(storyOf(forever(waiting))).toEqual([...times(5, 'wait_and_resubmit'), 'fal', 'give_up']);
    expect(storyOf([waiting, waiting, running, waiting, running])).toEqual([...times(4, 'wait_and_resubmit'), 'fal']);
  });

  test('R5.5 what a node could not reach is tried again after 2, 4, 8, 16 and 30 seconds', () => {
    const failure = { ...buildFailure('NETWORK_ERROR'), isOfNode: true };
    expect(storyOf(forever(failure))).toEqual([...times(5, 'resubmit'), 'fal', 'give_up']);
    const pauses = [0, 1, 2, 3, 4].map((done) => {
      const past = Array<PastRecovery>(done).fill({ kind: 'NETWORK_ERROR', strategy: 'resubmit' });
      return decideRecovery(failure, past, DEFAULT_RECOVERY)[0]?.pauseSeconds;
    });
    expect(pauses).toEqual([2, 4, 8, 16, 30]);
  });

  test('R5.3 a node that gave up waiting goes on once from the nodes that are done', () => {
    expect(storyOf(forever({ ...buildFailure('TIMEOUT'), isOfNode: true }))).toEqual(['resume', 'give_up']);
  });

  test('R5.4 no checkpoint stands in for another model that is missing', () => {
    const failure = { ...buildFailure('MODEL_MISSING'), isOtherModel: true };
    expect(storyOf(forever(failure))).toEqual([...times(2, 'other_backend'), 'give_up']);
  });

  test('R5.3 a rendering that takes too long goes on once, and elsewhere where it stood still; a stuck one only elsewhere', () => {
    const slow = { ...buildFailure('TIMEOUT'), limit: 'render' } as const;
    expect(storyOf(forever(slow))).toEqual(['resume', 'give_up']);
    expect(storyOf(forever({ ...slow, limit: 'stall' }))).toEqual(['resume', 'other_backend', 'give_up']);
    expect(storyOf(forever({ ...slow, isStuck: true }))).toEqual(['take_over', 'wait_and_resubmit', 'give_up']);
    expect(storyOf([slow, { ...slow, isStuck: true }])).toEqual(['resume', 'take_over']);
  });

  test.each(['NO_CAPACITY', 'TIMEOUT'] as const)('R1.2 %s for want of any backend falls back', (kind) => {
    const failure = { ...buildFailure(kind), isWithoutBackend: true };
    expect(storyOf(forever(failure))).toEqual(['fal', 'give_up']);
  });

  test.each(FAILURE_KINDS)('R1.3 after the fallback %s leads to no other rendering', (kind) => {
    const past = [{ kind: 'BACKEND_CRASHED', strategy: 'fal' }] as const;
    const next = decideRecovery(
      { ...buildFailure(kind, ['truncated']), isWithoutBackend: true },
      past,
      DEFAULT_RECOVERY,
    );
    expect(next.every(({ action }) => action === 'download_again')).toBe(true);
  });

  test('R5.2 out of memory: everything that leaves the picture as it is comes before a smaller one', () => {
    expect(storyOf(forever(buildFailure('CUDA_OOM')))).toEqual([
      'free_memory',
      ...times(12, 'split_batch'), // a graph whose batch cannot be split any more is passed over
      'tiled_decode',
      'free_all',
      ...times(3, 'reduce_params'),
      'other_backend',
      'fal',
      'give_up',
    ]);
  });

  test('R5.7 under `strict` no sequence of failures whatsoever changes what was asked', () => {
    fc.assert(
      fc.property(fc.array(anyFailure, { maxLength: 40 }), (failures) => {
        const story = storyOf(failures, { ...DEFAULT_RECOVERY, isStrict: true });
        expect(story).not.toContain('reduce_params');
        expect(story).not.toContain('switch_model');
      }),
    );
  });

  test.each(FAILURE_KINDS)('R5.7 switched off, %s ends the generation at once', (kind) => {
    expect(decideRecovery(buildFailure(kind, ['truncated']), [], { ...DEFAULT_RECOVERY, isEnabled: false })).toEqual(
      [],
    );
  });

  test('R5.7 MAX_RETRY_ATTEMPTS counts the changes of what was asked, of all kinds together', () => {
    const failures = forever(buildFailure('MODEL_MISSING')).slice(0, 4);
    const story = storyOf([...failures, ...forever(buildFailure('CUDA_OOM'))]);
    expect(story.filter((strategy) => ['switch_model', 'reduce_params'].includes(strategy))).toHaveLength(3);
  });

  test('a file that stays damaged is fetched three times more, then rendered once more, then given up', () => {
    const story = [...times(3, 'download_again'), 'render_again', 'give_up'];
    expect(storyOf(forever(buildFailure('OUTPUT_INVALID', ['truncated'])))).toEqual(story);
    expect(storyOf(forever(buildFailure('OUTPUT_INVALID', ['empty', 'undecodable'])))).toEqual(story);
  });

  test('a file that was damaged first and is missing then is rendered again: fetching does not use up rendering', () => {
    const damaged = buildFailure('OUTPUT_INVALID', ['truncated']);
    const missing = buildFailure('OUTPUT_INVALID', ['missing']);
    expect(storyOf([damaged, missing, missing])).toEqual(['download_again', 'render_again', 'give_up']);
  });

  test('a file that ComfyUI no longer has is rendered again once, and not fetched again', () => {
    const story = ['render_again', 'give_up'];
    expect(storyOf(forever(buildFailure('OUTPUT_INVALID', ['missing'])))).toEqual(story);
    expect(storyOf(forever(buildFailure('OUTPUT_INVALID', ['truncated', 'missing'])))).toEqual(story);
  });

  test('A8 a file that was tried to be fetched again and again is rendered again once', () => {
    expect(storyOf(forever(buildFailure('OUTPUT_INVALID', ['transfer_failed'])))).toEqual(['render_again', 'give_up']);
  });

  test.each([
    'wrong_size',
    'too_many_pixels',
    'flat',
    'noise',
    'not_text',
    'wrong_count',
    'wrong_kind',
    'wrong_duration',
    'bad_name',
    'no_sound',
  ] as const)(
    'an output with the fault %s is given up, alone and beside a damaged file: it would be the same again',
    (fault) => {
      expect(decideRecovery(buildFailure('OUTPUT_INVALID', [fault]), [], DEFAULT_RECOVERY)).toEqual([]);
      expect(decideRecovery(buildFailure('OUTPUT_INVALID', ['truncated', fault]), [], DEFAULT_RECOVERY)).toEqual([]);
    },
  );

  test('an invalid output without any fault named is given up', () => {
    expect(decideRecovery(buildFailure('OUTPUT_INVALID'), [], DEFAULT_RECOVERY)).toEqual([]);
  });

  test('R1.7 whatever fails next, as long as anything is left to try, it ends', () => {
    fc.assert(
      fc.property(fc.array(anyFailure, { minLength: 400, maxLength: 400 }), (failures) => {
        const past: PastRecovery[] = [];
        for (const failure of failures) {
          const [recovery] = decideRecovery(failure, past, DEFAULT_RECOVERY);
          if (recovery === undefined) continue; // the adversary picks what can still be recovered from
          const { kind, wasRunning } = failure;
          past.push({ kind, strategy: recovery.strategy, wasRunning: wasRunning ?? true });
        }
        expect(past.length).toBeLessThanOrEqual(MOST_RECOVERIES);
      }),
    );
  });

  test('every recovery says in a sentence what is done', () => {
    for (const kind of FAILURE_KINDS) {
      for (const { message } of decideRecovery(buildFailure(kind, ['missing']), [], DEFAULT_RECOVERY)) {
        expect(message).toMatch(/^[A-Z].{20,}[^.]$/);
      }
    }
  });
});
