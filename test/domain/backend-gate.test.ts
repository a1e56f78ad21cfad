import { expect, test } from '@jest/globals';
import { GATE_POSITIONS, gateHoldsOf, gatePositionOf, gateWishOf } from '../../workflows/domain/backend-gate.js';
import { MAX_FAILED_TENDS, decideAfterTend, isHeldByAnother } from '../../workflows/domain/backend-holding.js';

test('a quarantine closes the gate, and when it ends a drain is still in force', () => {
  expect(gatePositionOf({ isDrained: false, quarantine: null })).toBe('open');
  expect(gatePositionOf({ isDrained: true, quarantine: null })).toBe('draining');
  expect(gatePositionOf({ isDrained: true, quarantine: 'cuDNN' })).toBe('closed');
});

test('everything that holds a gate is named, and a gate is open exactly when nothing does', () => {
  const all = { isDrained: true, quarantine: 'hot', emergency: 'smoke' };
  expect(gateHoldsOf(all)).toEqual([
    { cause: 'emergency_stop', reason: 'smoke' },
    { cause: 'quarantine', reason: 'hot' },
    { cause: 'drain', reason: null },
  ]);
  for (const position of GATE_POSITIONS) {
    expect(gateHoldsOf(gateWishOf(position)).length > 0).toBe(position !== 'open');
  }
});

test.each(GATE_POSITIONS)('the position %s survives where nothing but it is known', (position) => {
  expect(gatePositionOf(gateWishOf(position))).toBe(position);
});

test('a holder that stopped or fell silent is gone; one whose tending failed is asked again for a while', () => {
  expect(decideAfterTend('stopped', 0)).toBe('free');
  expect(decideAfterTend('silent', 0)).toBe('free');
  expect(decideAfterTend('renew', 0)).toBe('again');
  expect(decideAfterTend('failed', 1)).toBe('again_later');
  expect(decideAfterTend('failed', MAX_FAILED_TENDS)).toBe('free');
});

test('an id is in the way only while another process has it that is not known to be dead', () => {
  expect(isHeldByAnother(null, { holderId: 'b', replaces: null })).toBe(false);
  expect(isHeldByAnother('a', { holderId: 'a', replaces: null })).toBe(false);
  expect(isHeldByAnother('a', { holderId: 'b', replaces: null })).toBe(true);
  expect(isHeldByAnother('a', { holderId: 'b', replaces: 'a' })).toBe(false);
  expect(isHeldByAnother('c', { holderId: 'b', replaces: 'a' })).toBe(true);
});
