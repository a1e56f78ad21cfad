import type { FailureKind } from '../../workflows/domain/failure.js';
import type { RecoveryCounts } from '../statistics/read-statistics.js';

/** The six kinds of R5.1; ours are finer, and each belongs to the one whose remedy is nearest. */
const KEYS = {
  CUDA_OOM: 'cuda_out_of_memory',
  HOST_OOM: 'cuda_out_of_memory',
  TIMEOUT: 'timeout',
  MODEL_MISSING: 'model_missing',
  MODEL_CORRUPT: 'model_missing',
  MODEL_INCOMPATIBLE: 'model_missing',
  NETWORK_ERROR: 'network_error',
  BACKEND_CRASHED: 'network_error',
  PROMPT_LOST: 'network_error',
  NO_CAPACITY: 'network_error',
  DISK_FULL: 'disk_full',
  INTERRUPTED: 'workflow_error',
  DEVICE_POISONED: 'workflow_error',
  ENVIRONMENT: 'workflow_error',
  WORKFLOW_ERROR: 'workflow_error',
  NO_FACE: 'workflow_error',
  BAD_INPUT: 'workflow_error',
  INPUT_TOO_LARGE: 'workflow_error',
  OUTPUT_INVALID: 'workflow_error',
  OUTPUT_TOO_LARGE: 'workflow_error',
  UNEXPECTED: 'workflow_error',
} as const satisfies Record<FailureKind, string>;

export type ErrorKey = (typeof KEYS)[FailureKind];

export function errorKeyOf(kind: FailureKind): ErrorKey {
  return KEYS[kind];
}

/** How many failures there were under each key; keys without any are left out. */
export function errorDistribution(
  byKind: readonly (Pick<RecoveryCounts, 'total'> & { readonly kind: FailureKind })[],
): Partial<Record<ErrorKey, number>> {
  const counts: Partial<Record<ErrorKey, number>> = {};
  for (const { kind, total } of byKind) counts[KEYS[kind]] = (counts[KEYS[kind]] ?? 0) + total;
  return counts;
}
