import { expect, test } from '@jest/globals';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import type { JournalEntry } from '../../infra/simulators/comfyui/journal.js';
import { createRandom } from '../support/random.js';
import { FAULT_KINDS } from './recovery/fault-kinds.js';
import { judge } from './recovery/judge.js';
import type { CaseEvidence, Expectation } from './recovery/judge.js';
import { isRecoverable, neededGib } from './recovery/oracle.js';

const ID = 'gen_0198c5a2-7b1e-7c3d-8e4f-a1b2c3d4e5f6';
const RESULT: Expectation = { failure: null, mayChange: [], resumesFromCache: false };
const ASKED = { width: 64, height: 48, batch_size: 1, model: 'a' };

function evidence(changes: Partial<CaseEvidence> & { readonly seen?: object } = {}): CaseEvidence {
  const { seen = {}, ...rest } = changes;
  return {
    generation: {
      ...{ id: ID, status: 'COMPLETED', asked: ASKED, delivered: ASKED, attempts: [], abandonedRenderings: 0 },
      ...{ error: null, finishedAt: '2026-01-01T00:00:00.000Z' },
      ...seen,
    },
    pictures: [{ isWhole: true, pixelSha256: 'a', widthPx: 64, heightPx: 48 }],
    ...{ journals: [], savedPictures: 1, ruinedPictures: 0 },
    ...rest,
  };
}

const entry = (ms: number, event: JournalEntry['event'], submission = 1): JournalEntry => ({
  ...{ at: new Date(ms).toISOString(), event, promptId: promptIdOf(ID, submission) },
});

test('what was asked for, whole, is recovered', () => {
  expect(judge(RESULT, evidence())).toEqual({ outcome: 'recovered', reason: null, extraRenderings: 0 });
});

test.each([
  ['still under way', evidence({ seen: { status: 'RECOVERING' } }), 'it is still RECOVERING'],
  [
    'a failure',
    evidence({ seen: { status: 'FAILED', error: { kind: 'CUDA_OOM', detail: 'x' } } }),
    'FAILED: CUDA_OOM x',
  ],
  ['another model', evidence({ seen: { delivered: { ...ASKED, model: 'b' } } }), 'model changed without leave'],
  ['a picture too few', evidence({ pictures: [] }), '0 pictures instead of 1'],
  [
    'a damaged picture',
    evidence({ pictures: [{ isWhole: false, pixelSha256: 'a', widthPx: 64, heightPx: 48 }] }),
    'a picture is damaged, or of another size than it says',
  ],
  [
    'another size than it says',
    evidence({ pictures: [{ isWhole: true, pixelSha256: 'a', widthPx: 48, heightPx: 48 }] }),
    'a picture is damaged, or of another size than it says',
  ],
])('%s is wrong where a result was possible', (_, seen, reason) => {
  expect(judge(RESULT, seen)).toMatchObject({ outcome: 'wrong', reason });
});

test('the same picture twice in a batch is wrong', () => {
  const asked = { ...ASKED, batch_size: 2 };
  const one = { isWhole: true, pixelSha256: 'a', widthPx: 64, heightPx: 48 };
  const seen = { seen: { asked, delivered: asked }, savedPictures: 2 };
  expect(judge(RESULT, evidence({ ...seen, pictures: [one, one] })).reason).toBe('a picture came twice');
  expect(judge(RESULT, evidence({ ...seen, pictures: [one, { ...one, pixelSha256: 'b' }] })).outcome).toBe('recovered');
});

test('where no result is possible, only the right cause is right', () => {
  const expected = { ...RESULT, failure: 'CUDA_OOM' };
  const failed = (kind: string) =>
    evidence({ seen: { status: 'FAILED', error: { kind, detail: '' } }, savedPictures: 0, pictures: [] });
  expect(judge(expected, failed('CUDA_OOM')).outcome).toBe('namedFailure');
  expect(judge(expected, failed('TIMEOUT'))).toMatchObject({ outcome: 'wrong', reason: 'TIMEOUT instead of CUDA_OOM' });
  expect(judge(expected, evidence()).outcome).toBe('wrong');
});

test('what must go on from the cache and was rendered from the start is wrong', () => {
  const expected = { ...RESULT, resumesFromCache: true };
  expect(judge(expected, evidence()).reason).toBe('it was rendered from the start');
  expect(judge(expected, evidence({ journals: [[entry(1, 'node_cached', 2)]] })).outcome).toBe('recovered');
});

test('a rendering is extra when an earlier one was alive, unless it is told as abandoned', () => {
  const journals = [
    [entry(1_000, 'rendering_started'), entry(5_000, 'rendering_finished')],
    [entry(2_000, 'rendering_started', 2), entry(3_000, 'rendering_finished', 2)],
  ];
  expect(judge(RESULT, evidence({ journals })).extraRenderings).toBe(1);
  expect(judge(RESULT, evidence({ journals, seen: { abandonedRenderings: 1 } })).extraRenderings).toBe(0);
});

test('what its ComfyUI died with was not alive any more', () => {
  const journals = [
    [
      entry(1_000, 'rendering_started'),
      entry(1_500, 'fault'),
      { at: new Date(4_000).toISOString(), event: 'started' as const },
    ],
    [entry(2_000, 'rendering_started', 2), entry(3_000, 'rendering_finished', 2)],
  ];
  expect(judge(RESULT, evidence({ journals })).extraRenderings).toBe(0);
});

test('a picture that was saved and not delivered is extra, unless the fault has ruined it', () => {
  expect(judge(RESULT, evidence({ savedPictures: 2 })).extraRenderings).toBe(1);
  expect(judge(RESULT, evidence({ savedPictures: 2, ruinedPictures: 1 })).extraRenderings).toBe(0);
});

test('the oracle knows the arithmetic of R5.2 and the simulated card', () => {
  const request = { widthPx: 1024, heightPx: 1024, batchSize: 4, isStrict: false };
  expect(neededGib(request)).toBe(10);
  expect(neededGib({ ...request, batchSize: 1 })).toBe(5.5); // sampling; decoding needs 5
  // 1024 → 816 → 648 → 512: 4 + 1.5 × 0.25
  expect(isRecoverable(request, 4.375)).toBe(true);
  expect(isRecoverable(request, 4.37)).toBe(false);
  expect(isRecoverable({ ...request, isStrict: true }, 5.5)).toBe(true);
  expect(isRecoverable({ ...request, isStrict: true }, 5.49)).toBe(false);
});

test('R5.13 out of memory is drawn on both sides of what is recoverable, and the same seed draws the same', () => {
  const kind = FAULT_KINDS.find(({ name }) => name === 'cuda_oom');
  const draw = () => Array.from({ length: 100 }, (_, index) => kind?.draw(createRandom(index)));
  const failures = draw().map((drawn) => drawn?.failure);
  expect(failures.filter((failure) => failure === null).length).toBeGreaterThan(20);
  expect(failures.filter((failure) => failure === 'CUDA_OOM').length).toBeGreaterThan(20);
  expect(JSON.stringify(draw())).toBe(JSON.stringify(draw()));
});
