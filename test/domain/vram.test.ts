import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hardwareOf } from '../../workflows/domain/hardware.js';
import { fittingSizes, mayFit, vramInWords, vramNeeded } from '../../workflows/domain/vram.js';

const GIB = 1024 ** 3;
const gpu = (gib: number) => ({ hardware: 'gpu', vramTotalBytes: gib * GIB }) as const;

/** R4.7's numbers. */
const SDXL = [
  { upTo: { width: 1024, height: 1024 }, gb: 10 },
  { upTo: { width: 1344, height: 768 }, gb: 11 },
  { upTo: { width: 768, height: 1344 }, gb: 11 },
];
const LIVE_PORTRAIT = [
  { upTo: { seconds: 10 }, gb: 12 },
  { upTo: { seconds: 15 }, gb: 14 },
];

describe('R4.7 What a request needs', () => {
  test.each([
    [SDXL, { width: 1024, height: 1024 }, 10],
    [SDXL, { width: 512, height: 768 }, 10],
    [SDXL, { width: 1344, height: 768 }, 11],
    [SDXL, { width: 768, height: 1344 }, 11],
    [SDXL, { width: 1344, height: 1344 }, null],
    [SDXL, { width: 1024 }, null],
    [SDXL, { width: '1024', height: 1024 }, null],
    [LIVE_PORTRAIT, { seconds: 10 }, 12],
    [LIVE_PORTRAIT, { seconds: 10.5 }, 14],
    [LIVE_PORTRAIT, { seconds: 16 }, null],
    [[], { width: 1 }, null],
  ])('of the table %j, %j needs %s GB', (table, asked, gb) => {
    expect(vramNeeded(table, asked)).toBe(gb);
  });

  test('asking for less never needs more', () => {
    const size = fc.record({ width: fc.integer({ min: 1, max: 1400 }), height: fc.integer({ min: 1, max: 1400 }) });
    fc.assert(
      fc.property(size, size, (asked, other) => {
        const needed = vramNeeded(SDXL, asked);
        const less = { width: Math.min(asked.width, other.width), height: Math.min(asked.height, other.height) };
        if (needed !== null) expect(vramNeeded(SDXL, less) ?? Infinity).toBeLessThanOrEqual(needed);
      }),
    );
  });
});

describe('R4.7 Where it fits', () => {
  test.each([
    [gpu(24), 10, true],
    [gpu(10), 10, true],
    [gpu(9.6), 10, true], // a card of "10 GB"
    [gpu(8), 10, false],
    [gpu(12), 14, false],
    [{ hardware: 'low-vram', vramTotalBytes: 4 * GIB }, 10, true],
    [{ hardware: 'cpu', vramTotalBytes: 4 * GIB }, 10, true],
    [{ hardware: null, vramTotalBytes: 4 * GIB }, 10, true],
    [{ vramTotalBytes: 4 * GIB }, 10, true], // reported by an earlier version
    [{ hardware: 'gpu', vramTotalBytes: null }, 10, true],
  ] as const)('%j may take %i GB: %j', (card, gb, expected) => {
    expect(mayFit(card, gb)).toBe(expected);
  });

  test('what would fit is told with the names of the parameters', () => {
    expect(fittingSizes(SDXL, [gpu(8), gpu(10)])).toEqual(['width up to 1024 with height up to 1024 (10 GB)']);
    expect(fittingSizes(LIVE_PORTRAIT, [gpu(8)])).toEqual([]);
    expect(vramInWords(8.5 * GIB)).toBe('8.5 GB');
  });
});

test.each([
  ['cuda', ['main.py'], 'gpu'],
  ['mps', ['main.py', '--highvram'], 'gpu'],
  ['cuda', ['main.py', '--lowvram'], 'low-vram'],
  ['cuda', ['main.py', '--novram'], 'low-vram'],
  ['cuda', ['main.py', '--cpu-vae'], 'gpu'],
  ['cpu', ['main.py', '--cpu'], 'cpu'],
  ['cpu', null, 'cpu'],
  [null, ['main.py'], 'cpu'],
  ['cuda', null, null],
])('R3.5 a first device of type %s, started with %j, is %s', (deviceType, argv, expected) => {
  expect(hardwareOf({ deviceType, argv })).toBe(expected);
});
