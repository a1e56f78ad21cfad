import { afterEach, expect, jest, test } from '@jest/globals';
import { createEnsureCurrent } from '../../activities/ensure-current.js';
import { environment } from './support/activity-world.js';

afterEach(() => {
  jest.restoreAllMocks();
});

test('Temporal is asked whether an attempt still counts only after the process was stopped, and not for ever', async () => {
  const now = Date.now.bind(Date);
  let offsetMs = 0;
  jest.spyOn(Date, 'now').mockImplementation(() => now() + offsetMs);
  const { ensureCurrent, close } = createEnsureCurrent();
  // There is no Temporal behind this environment, so asking it fails.
  const asks = async () =>
    environment()
      .run(ensureCurrent, undefined)
      .then(
        () => false,
        () => true,
      );
  try {
    await expect(asks()).resolves.toBe(false);
    offsetMs += 20_000; // stopped, and continued
    await expect(asks()).resolves.toBe(true);
    for (let second = 0; second < 32; second += 1) {
      offsetMs += 1_000;
      await asks();
    }
    await expect(asks()).resolves.toBe(false);
  } finally {
    close();
  }
});
