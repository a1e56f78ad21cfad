import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FailureKind } from '../../workflows/domain/failure.js';
import { FAILURE_KINDS } from '../../workflows/domain/failure.js';
import type { MediaFault } from '../../workflows/domain/media-signature.js';
import { MEDIA_FAULTS } from '../../workflows/domain/media-signature.js';
import type { ObservedFailure, PastRecovery } from '../../workflows/domain/recovery.js';
import { abandonedRenderingsIn, decideRecovery } from '../../workflows/domain/recovery.js';

function buildFailure(kind: FailureKind, mediaFaults: readonly MediaFault[] = []): ObservedFailure {
  return { kind, mediaFaults, isAbandoned: false };
}

/** Lets the same failure happen again and again; answers the actions until giving up. */
function storyOf(failures: Iterable<ObservedFailure>): string[] {
  const past: PastRecovery[] = [];
  const actions: string[] = [];
  for (const failure of failures) {
    const recovery = decideRecovery(failure, past);
    if (recovery.action === 'give_up') return [...actions, 'give_up'];
    actions.push(recovery.strategy);
    past.push({ kind: failure.kind, strategy: recovery.strategy });
  }
  return actions;
}

const forever = (failure: ObservedFailure) => Array<ObservedFailure>(30).fill(failure);
const times = (count: number, strategy: string) => Array<string>(count).fill(strategy);

describe('R5.7 Recovery', () => {
  test.each([
    ['PROMPT_LOST', [...times(5, 'resubmit'), 'give_up']],
    ['INTERRUPTED', [...times(2, 'resubmit'), 'give_up']],
    ['BACKEND_CRASHED', [...times(1, 'wait_and_resubmit'), 'give_up']],
    ['NETWORK_ERROR', [...times(3, 'rediscover'), 'give_up']],
    ['UNEXPECTED', ['retry', 'give_up']],
  ] as const)('%s that never ends is recovered from as often as its limit says', (kind, story) => {
    expect(storyOf(forever(buildFailure(kind)))).toEqual(story);
  });

  test('a worker that is gone is taken over from, as often as a backend that cannot be reached, and is counted', () => {
    const gone = { ...buildFailure('NETWORK_ERROR'), isAbandoned: true };
    const unreachable = buildFailure('NETWORK_ERROR');
    const story = storyOf([gone, unreachable, gone, gone]);
    expect(story).toEqual(['take_over', 'rediscover', 'take_over', 'give_up']);
    expect(abandonedRenderingsIn(story.map((strategy) => ({ strategy })))).toBe(2);
  });

  test.each(
    FAILURE_KINDS.filter(
      (kind) =>
        !['PROMPT_LOST', 'INTERRUPTED', 'BACKEND_CRASHED', 'NETWORK_ERROR', 'OUTPUT_INVALID', 'UNEXPECTED'].includes(
          kind,
        ),
    ),
  )('R5.6 %s ends the generation at once', (kind) => {
    expect(decideRecovery(buildFailure(kind), [])).toEqual({ action: 'give_up' });
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

  test.each(['wrong_size', 'too_many_pixels', 'flat', 'not_text', 'wrong_count', 'unsupported_kind'] as const)(
    'an output with the fault %s is given up, alone and beside a damaged file: it would be the same again',
    (fault) => {
      expect(decideRecovery(buildFailure('OUTPUT_INVALID', [fault]), [])).toEqual({ action: 'give_up' });
      expect(decideRecovery(buildFailure('OUTPUT_INVALID', ['truncated', fault]), [])).toEqual({ action: 'give_up' });
    },
  );

  test('an invalid output without any fault named is given up', () => {
    expect(decideRecovery(buildFailure('OUTPUT_INVALID'), [])).toEqual({ action: 'give_up' });
  });

  test('R1.7 any sequence of failures whatsoever ends after at most 16 recoveries', () => {
    const failure = fc.record({
      kind: fc.constantFrom(...FAILURE_KINDS),
      mediaFaults: fc.array(fc.constantFrom(...MEDIA_FAULTS), { maxLength: 3 }),
      isAbandoned: fc.boolean(),
    });
    const recoverable = failure.filter((one) => decideRecovery(one, []).action !== 'give_up');
    fc.assert(
      fc.property(fc.array(recoverable, { minLength: 17, maxLength: 60 }), (failures) => {
        const story = storyOf(failures);
        expect(story.at(-1)).toBe('give_up');
        expect(story.length).toBeLessThanOrEqual(17);
      }),
    );
  });

  test('every recovery says in a sentence what is done', () => {
    for (const kind of FAILURE_KINDS) {
      const recovery = decideRecovery(buildFailure(kind, ['missing']), []);
      if (recovery.action !== 'give_up') expect(recovery.message).toMatch(/^[A-Z].{20,}[^.]$/);
    }
  });
});
