import { expect, test } from '@jest/globals';
import { recoveryPolicy } from '../../api/generations/recovery-policy.js';
import { DEFAULT_RECOVERY } from '../../workflows/domain/recovery-policy.js';

test('R5.7 a request forbids what the service allows', () => {
  const policy = recoveryPolicy(DEFAULT_RECOVERY, { enabled: false, strict: true, maxAttempts: 1, models: [] });
  expect(policy).toEqual({ isEnabled: false, isStrict: true, maxAttempts: 1, substitutes: [] });
});

test('R5.7 a request does not allow what the service forbids', () => {
  const service = { isEnabled: false, isStrict: false, maxAttempts: 0, substitutes: [] };
  const policy = recoveryPolicy(service, { enabled: true, maxAttempts: 10, models: ['a.safetensors'] });
  expect(policy).toEqual(service);
});

test('R5.4 which checkpoints may stand in is the word of the caller, and of the service where the caller says nothing', () => {
  expect(recoveryPolicy(DEFAULT_RECOVERY, { models: ['a.safetensors'] }).substitutes).toEqual(['a.safetensors']);
  expect(recoveryPolicy(DEFAULT_RECOVERY, {})).toEqual(DEFAULT_RECOVERY);
  expect(recoveryPolicy(DEFAULT_RECOVERY, null)).toEqual(DEFAULT_RECOVERY);
});
