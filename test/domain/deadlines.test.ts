import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { limitsOn } from '../../workflows/domain/deadlines.js';

describe('R3.5 Limits', () => {
  const asked = { renderSeconds: 600, stallSeconds: 120, totalSeconds: null };

  test('a CPU gets ten times the time to render and to move a step', () => {
    expect(limitsOn('gpu', asked)).toEqual({ renderSeconds: 600, stallSeconds: 120, totalSeconds: 1_800 });
    expect(limitsOn('cpu', asked)).toEqual({ renderSeconds: 6_000, stallSeconds: 1_200, totalSeconds: 18_000 });
  });

  test('534 s on a CPU are within the default of 600 s for a GPU', () => {
    expect(limitsOn('cpu', asked).renderSeconds).toBeGreaterThan(534);
  });

  test('the total is half an hour at least and three renderings at most', () => {
    expect(limitsOn('gpu', { ...asked, renderSeconds: 10 }).totalSeconds).toBe(1_800);
    expect(limitsOn('gpu', { ...asked, renderSeconds: 601 }).totalSeconds).toBe(1_803);
  });

  test('a total that the caller set is not stretched', () => {
    expect(limitsOn('cpu', { ...asked, totalSeconds: 60 }).totalSeconds).toBe(60);
  });

  test('a CPU never gets less time than a GPU, whatever was asked', () => {
    const seconds = fc.integer({ min: 1, max: 86_400 });
    fc.assert(
      fc.property(seconds, seconds, fc.option(seconds), (renderSeconds, stallSeconds, totalSeconds) => {
        const [gpu, cpu] = (['gpu', 'cpu'] as const).map((device) =>
          limitsOn(device, { renderSeconds, stallSeconds, totalSeconds }),
        );
        expect(cpu?.renderSeconds).toBe(10 * (gpu?.renderSeconds ?? 0));
        expect(cpu?.stallSeconds).toBe(10 * (gpu?.stallSeconds ?? 0));
        expect(cpu?.totalSeconds).toBeGreaterThanOrEqual(gpu?.totalSeconds ?? Infinity);
      }),
    );
  });
});
