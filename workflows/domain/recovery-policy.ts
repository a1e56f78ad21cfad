/** What a generation's recoveries may do; from the request and the service's settings. */
export interface RecoveryPolicy {
  readonly isEnabled: boolean;
  /** Nothing of what was asked may be changed. */
  readonly isStrict: boolean;
  /** R5.7: recoveries that change what was asked. */
  readonly maxAttempts: number;
  /** R5.4: checkpoints that may stand in for one that is missing, in this order. */
  readonly substitutes: readonly string[];
}

export const DEFAULT_RECOVERY: RecoveryPolicy = {
  isEnabled: true,
  isStrict: false,
  maxAttempts: 3,
  substitutes: ['sd_xl_base_1.0.safetensors', 'v1-5-pruned-emaonly.ckpt', 'anything-v4.5-pruned.ckpt'],
};
