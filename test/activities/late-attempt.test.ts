import { afterEach, expect, jest, test } from '@jest/globals';
import { createLateAttempt } from '../../activities/late-attempt.js';
import { environment } from './support/activity-world.js';

afterEach(() => {
  jest.restoreAllMocks();
});

test('Temporal is asked whether an attempt still counts only after the process was stopped, and not for ever', async () => {
  const now = Date.now.bind(Date);
  let offsetMs = 0;
  jest.spyOn(Date, 'now').mockImplementation(() => now() + offsetMs);
  const { ensureCurrent, isForNobody, close } = createLateAttempt(5_000);
  // There is no Temporal behind this environment, so asking it fails.
  const asks = async () => {
    const questions = [ensureCurrent, isForNobody].map(async (question) =>
      environment().run(async () => void (await question()), undefined),
    );
    const answers = await Promise.allSettled(questions);
    return answers.map(({ status }) => status === 'rejected');
  };
  try {
    await expect(asks()).resolves.toEqual([false, false]);
    offsetMs += 20_000; // stopped, and continued
    await expect(asks()).resolves.toEqual([true, true]);
    for (let second = 0; second < 32; second += 1) {
      offsetMs += 1_000;
      await asks();
    }
    await expect(asks()).resolves.toEqual([false, false]);
  } finally {
    close();
  }
});
