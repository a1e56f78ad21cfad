import { describe, expect, test } from '@jest/globals';
import { FAL_WORDS, describeRecordedFailure } from '../../workflows/domain/fal-failure.js';
import {
  describeFailure,
  errorCodeOf,
  FAILURE_KINDS,
  FINAL_IN_PLACE,
  isFailureKind,
} from '../../workflows/domain/failure.js';

const FAL_WORDED = Object.keys(FAL_WORDS).filter(isFailureKind);

describe('Failures that fal.ai alone has caused', () => {
  const onFal = { provider: 'fal', facts: {} } as const;

  test.each(FAL_WORDED)('%s says nothing of a ComfyUI to repair', (kind) => {
    const { title, remedy } = describeRecordedFailure({ ...onFal, kind });
    expect(title).toMatch(/^[A-Za-z].{10,80}[^.]$/);
    expect(remedy).toMatch(/^[A-Z].{20,}\.$/);
    expect(`${title} ${remedy}`).toMatch(/fal\.ai|FAL_KEY|file/);
    expect(`${title} ${remedy}`).not.toMatch(/PyTorch|node|start a ComfyUI|reach ComfyUI/);
    expect(title).not.toBe(describeFailure(kind).title);
  });

  test('what ComfyUI has failed at first, and what is true of both, keeps its words', () => {
    const fallback = { kind: 'NETWORK_ERROR', detail: 'fal.ai did not answer', facts: {} };
    for (const kind of FAL_WORDED) {
      expect(describeRecordedFailure({ ...onFal, kind, facts: { fallback } })).toEqual(describeFailure(kind));
      expect(describeRecordedFailure({ ...onFal, kind, provider: 'comfyui' })).toEqual(describeFailure(kind));
    }
    expect(describeRecordedFailure({ ...onFal, kind: 'DISK_FULL' })).toEqual(describeFailure('DISK_FULL'));
  });

  test('what a repetition meets again is not called retryable', () => {
    const refused = (facts: object) =>
      describeRecordedFailure({ ...onFal, kind: 'NO_CAPACITY', facts: { ...facts } }).isRetryableByCaller;
    expect([{ isPassing: false }, { isPassing: true }, {}].map(refused)).toEqual([false, true, true]);
  });
});

describe('Failure kinds', () => {
  test.each(FAILURE_KINDS)(
    '%s says what happened and what the caller can do, each in a sentence of its own',
    (kind) => {
      const { title, remedy } = describeFailure(kind);
      expect(title).toMatch(/^[A-Z].{10,80}[^.]$/);
      expect(remedy).toMatch(/^[A-Z].{20,}\.$/);
      expect(remedy).not.toContain(title);
    },
  );

  test('no two kinds are described alike', () => {
    expect(new Set(FAILURE_KINDS.map((kind) => describeFailure(kind).title)).size).toBe(FAILURE_KINDS.length);
    expect(new Set(FAILURE_KINDS.map((kind) => describeFailure(kind).remedy)).size).toBe(FAILURE_KINDS.length);
  });

  test('only a broken connection and the unexpected are tried again in place; every other kind ends the activity', () => {
    expect(FAILURE_KINDS.filter((kind) => !FINAL_IN_PLACE.includes(kind))).toEqual(['NETWORK_ERROR', 'UNEXPECTED']);
  });

  test('what the request itself causes is not called retryable', () => {
    const hopeless = [
      'WORKFLOW_ERROR',
      'NO_FACE',
      'BAD_INPUT',
      'INPUT_TOO_LARGE',
      'OUTPUT_TOO_LARGE',
      'MODEL_MISSING',
      'CUDA_OOM',
    ] as const;
    expect(hopeless.filter((kind) => describeFailure(kind).isRetryableByCaller)).toEqual([]);
  });

  test('a kind is recognised by its exact name alone', () => {
    expect(isFailureKind('CUDA_OOM')).toBe(true);
    expect([undefined, null, 7, '', 'cuda_oom', 'toString', 'CUDA_OOM '].filter(isFailureKind)).toEqual([]);
  });

  test('the code of the API is the kind in lower case', () => {
    expect(errorCodeOf('MODEL_MISSING')).toBe('model_missing');
  });
});
