import { describe, expect, test } from '@jest/globals';
import { GENERATION_STATUSES, isTerminal } from '../../workflows/domain/generation-status.js';

describe('R5.8 Statuses', () => {
  test('there are seven, under the names that callers know', () => {
    expect([...GENERATION_STATUSES].sort()).toEqual([
      'CANCELLED',
      'COMPLETED',
      'FAILED',
      'PROCESSING',
      'QUEUED',
      'RECOVERING',
      'TIMEOUT',
    ]);
  });

  test('four of them are never left', () => {
    expect(GENERATION_STATUSES.filter(isTerminal)).toEqual(['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED']);
  });
});
