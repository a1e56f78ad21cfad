import { comfyUICleanupFrom } from '../infra/runtime/comfyui-dirs.js';
import { integerFrom } from '../infra/runtime/env.js';
import type { Env } from '../infra/runtime/env.js';

/** How long things are kept, and how often somebody looks. */
export interface UpkeepConfig {
  /** Between two looks at files and outputs. */
  readonly cleanupIntervalSeconds: number;
  /** Of files that pass through: ComfyUI's outputs, spool. */
  readonly fileMaxAgeSeconds: number;
  /** What may be removed of ComfyUI's folders. */
  readonly comfyUICleanup: 'own' | 'all';
  /** Since the last use. */
  readonly uploadRetentionDays: number;
  /** Since the end of the generation. */
  readonly outputRetentionDays: number;
  /** Of checkpoints, since the end of the generation. */
  readonly checkpointRetentionHours: number;
}

const DAYS = { min: 1, max: 36_500 };

export function upkeepConfigFrom(env: Env): UpkeepConfig {
  return {
    cleanupIntervalSeconds: integerFrom(env, 'CLEANUP_INTERVAL', { fallback: 3_600, min: 60, max: 604_800 }),
    fileMaxAgeSeconds: integerFrom(env, 'FILE_MAX_AGE', { fallback: 86_400, min: 3_600, max: 31_536_000 }),
    comfyUICleanup: comfyUICleanupFrom(env),
    uploadRetentionDays: integerFrom(env, 'UPLOAD_RETENTION_DAYS', { fallback: 7, ...DAYS }),
    outputRetentionDays: integerFrom(env, 'OUTPUT_RETENTION_DAYS', { fallback: 30, ...DAYS }),
    checkpointRetentionHours: integerFrom(env, 'CHECKPOINT_RETENTION_HOURS', { fallback: 48, min: 1, max: 8_760 }),
  };
}
