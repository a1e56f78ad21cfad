import type { RecoveryPolicy } from '../../workflows/domain/recovery-policy.js';
import type { RecoveryRequest } from '../schemas/generation-request.js';

/** The policy of one generation. A request can forbid what the service allows, never allow what it has switched off. */
export function recoveryPolicy(defaults: RecoveryPolicy, request: RecoveryRequest | null): RecoveryPolicy {
  if (request === null) return defaults;
  return {
    isEnabled: defaults.isEnabled && request.enabled !== false,
    isStrict: request.strict ?? defaults.isStrict,
    maxAttempts: Math.min(request.maxAttempts ?? defaults.maxAttempts, defaults.maxAttempts),
    // Which checkpoints may stand in is the caller's word, unless the service lets none.
    substitutes: defaults.substitutes.length === 0 ? [] : (request.models ?? defaults.substitutes),
  };
}
