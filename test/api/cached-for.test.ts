import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { cachedFor } from '../../api/queue/cached-for.js';

const HOLD_MS = 1_000;
const READING_MS = 10;

/** Counts its readings: the first one answers 1. */
function counting(tookMs = READING_MS) {
  let started = 0;
  const cached = cachedFor(HOLD_MS, async () => {
    started += 1;
    const number = started;
    await new Promise((resolve) => setTimeout(resolve, tookMs));
    return number;
  });
  return { ...cached, started: () => started };
}

async function readInTime<T>(cached: { read(): Promise<T> }, ms = READING_MS): Promise<T> {
  const reading = cached.read();
  await jest.advanceTimersByTimeAsync(ms);
  return reading;
}

describe('what is remembered for a time', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('those who ask at the same time share one reading, and those after them what it found', async () => {
    const cached = counting();
    const both = Promise.all([cached.read(), cached.read()]);
    await jest.advanceTimersByTimeAsync(READING_MS);
    expect(await both).toEqual([1, 1]);
    expect(await cached.read()).toBe(1);
    expect(cached.started()).toBe(1);
  });

  test('whoever asks a little later is not made to wait: it is read anew for the next one', async () => {
    const cached = counting();
    await readInTime(cached);
    await jest.advanceTimersByTimeAsync(HOLD_MS);
    expect(await cached.read()).toBe(1);
    expect(await cached.read()).toBe(1);
    expect(cached.started()).toBe(2);
    await jest.advanceTimersByTimeAsync(READING_MS);
    expect(await cached.read()).toBe(2);
  });

  test('nothing is told that is a tenth older', async () => {
    const cached = counting();
    await readInTime(cached);
    await jest.advanceTimersByTimeAsync(1.1 * HOLD_MS);
    expect(await readInTime(cached)).toBe(2);
  });

  test('what takes long to read is remembered ten times as long, five seconds at most', async () => {
    const slow = counting(300);
    await readInTime(slow, 300);
    await jest.advanceTimersByTimeAsync(2_500);
    await slow.read();
    expect(slow.started()).toBe(1);
    await jest.advanceTimersByTimeAsync(300);
    await slow.read();
    expect(slow.started()).toBe(2);
    const slowest = counting(2_000);
    await readInTime(slowest, 2_000);
    await jest.advanceTimersByTimeAsync(3_100);
    await slowest.read();
    expect(slowest.started()).toBe(2);
  });

  test('a reading that failed is told to those who waited, and not remembered', async () => {
    let isUp = false;
    const cached = cachedFor(HOLD_MS, async () => {
      if (!isUp) throw new Error('the database does not answer');
      return Promise.resolve('up');
    });
    await expect(cached.read()).rejects.toThrow('the database does not answer');
    isUp = true;
    expect(await cached.read()).toBe('up');
  });

  test('a reading that was begun before everything was forgotten is not remembered', async () => {
    const cached = counting();
    const early = cached.read();
    cached.forget();
    const late = cached.read();
    await jest.advanceTimersByTimeAsync(READING_MS);
    expect(await Promise.all([early, late])).toEqual([1, 2]);
    expect(await cached.read()).toBe(2);
  });
});
