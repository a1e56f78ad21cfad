import { apiConfigFrom } from '../../api/api-config.js';
import { readRecoveryRules } from '../../workers/read-recovery-rules.js';
import { workerConfigFrom } from '../../workers/worker-config.js';
import { ConfigError } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { logLevelFrom } from '../runtime/logger.js';
import { storeNameFrom } from './embedded-stores.js';

/** What the servers will fill in, so that everything else can be checked before any of them is started. */
const FILLED_IN = {
  DATABASE_URL: 'postgres://filled-in-later',
  S3_ENDPOINT: 'http://filled.in.later',
  S3_ACCESS_KEY_ID: 'later',
  S3_SECRET_ACCESS_KEY: 'later',
};

/**
 * Reads every setting of worker and API once, and the file with the operators' rules, so that a mistake is one sentence
 * before anything has been started.
 */
export async function checkSettings(env: Env): Promise<void> {
  const complete = { ...FILLED_IN, ...env };
  logLevelFrom(env);
  if (!URL.canParse(complete.DATABASE_URL ?? '')) {
    throw new ConfigError(
      'DATABASE_URL must be an address such as postgres://user:password@127.0.0.1:5432/durable_comfy',
    );
  }
  storeNameFrom(env);
  const { gpu } = workerConfigFrom(complete);
  apiConfigFrom(complete);
  await readRecoveryRules(gpu.recoveryConfigPath);
}
