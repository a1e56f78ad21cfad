import { join, resolve } from 'node:path';
import { createAddressRules } from '../infra/network/address-rules.js';
import type { AddressRules } from '../infra/network/address-rules.js';
import { downloadLinkConfigFrom } from '../infra/runtime/download-link-config.js';
import type { DownloadLinkConfig } from '../infra/runtime/download-link-config.js';
import { ConfigError, booleanFrom, integerFrom, numberFrom, stringFrom } from '../infra/runtime/env.js';
import type { Env } from '../infra/runtime/env.js';
import { ffmpegPathFrom } from '../infra/runtime/ffmpeg-path.js';
import { projectRoot } from '../infra/runtime/project-root.js';
import { storageConfigFrom } from '../infra/runtime/storage-config.js';
import type { StorageConfig } from '../infra/runtime/storage-config.js';
import { temporalConfigFrom } from '../infra/runtime/temporal-connection.js';
import type { TemporalConnectionConfig } from '../infra/runtime/temporal-connection.js';
import { PROVIDER_MODES } from '../workflows/contracts/fal.js';
import type { ProviderMode } from '../workflows/contracts/fal.js';
import { DEFAULT_RECOVERY } from '../workflows/domain/recovery-policy.js';
import type { RecoveryPolicy } from '../workflows/domain/recovery-policy.js';
import type { LimitDefaults } from './generations/generation-limits.js';
import type { LimitConfig } from './generations/open-limits.js';
import { graphPolicyFrom } from './graphs/graph-policy.js';
import type { GraphPolicy } from './graphs/graph-policy.js';

/** Everything that the API process is configured with. */
export interface ApiConfig {
  readonly host: string;
  readonly port: number;
  readonly allowedHosts: readonly string[];
  readonly databaseUrl: string;
  readonly databasePoolSize: number;
  readonly storage: StorageConfig;
  /** `null`: callers do not reach the object store. */
  readonly downloadLinks: DownloadLinkConfig | null;
  readonly temporal: TemporalConnectionConfig;
  /** Of the operators' own templates, beside those that come with the project. */
  readonly templateFolders: readonly string[];
  readonly openLimits: LimitConfig;
  /** Generations of one batch. */
  readonly maxBatch: number;
  readonly limits: LimitDefaults;
  readonly recovery: RecoveryPolicy;
  readonly provider: ProviderMode;
  readonly graphPolicy: GraphPolicy;
  /** What a graph of the caller's own costs an account. */
  readonly creditsPerGraph: number;
  readonly recoverySettings: RecoverySettings;
  readonly inputs: InputConfig;
}

/** Of files that callers bring. */
export interface InputConfig {
  /** Where they lie on their way through this process. */
  readonly scratchFolder: string;
  readonly maxUploadBytes: number;
  readonly maxInputPixels: number;
  readonly ffmpegPath: string | null;
  /** Which addresses they are fetched from; `null`: from none. */
  readonly addressRules: AddressRules | null;
}

/** What is told of recoveries. */
export interface RecoverySettings {
  /** Statistics say so below this share of recovered failures. */
  readonly alertThreshold: number;
  /** `false`: there are none. */
  readonly hasStatistics: boolean;
}

const DAY_SECONDS = 86_400;

/** Throws `ConfigError` naming the variable. */
export function apiConfigFrom(env: Env): ApiConfig {
  const host = stringFrom(env, 'HOST', '127.0.0.1');
  return {
    host,
    port: integerFrom(env, 'PORT', { fallback: 8328, min: 0, max: 65_535 }),
    allowedHosts: listFrom(env, 'ALLOWED_HOSTS'),
    databaseUrl: databaseUrlFrom(env),
    databasePoolSize: integerFrom(env, 'DATABASE_POOL_SIZE', { fallback: 10, min: 2, max: 100 }),
    storage: storageConfigFrom(env),
    downloadLinks: downloadLinkConfigFrom(env),
    temporal: temporalConfigFrom(env),
    templateFolders: listOf(stringFrom(env, 'TEMPLATES_DIR', '')).map((folder) => resolve(projectRoot, folder)),
    openLimits: {
      maxOpenGenerations: integerFrom(env, 'MAX_OPEN_GENERATIONS', { fallback: 20_000, min: 1, max: 1_000_000 }),
      maxOpenPerAccount: integerFrom(env, 'MAX_OPEN_PER_ACCOUNT', { fallback: 10_000, min: 1, max: 1_000_000 }),
      bestPriority: integerFrom(env, 'BEST_PRIORITY', { fallback: 1, min: 1, max: 5 }),
    },
    maxBatch: integerFrom(env, 'MAX_BATCH', { fallback: 10_000, min: 1, max: 10_000 }),
    limits: {
      startSeconds: integerFrom(env, 'START_DEADLINE_SECONDS', {
        fallback: DAY_SECONDS,
        min: 1,
        max: 30 * DAY_SECONDS,
      }),
      renderSeconds: integerFrom(env, 'GENERATION_TIMEOUT_SECONDS', { fallback: 600, min: 1, max: DAY_SECONDS }),
      stallSeconds: integerFrom(env, 'STALL_SECONDS', { fallback: 180, min: 1, max: DAY_SECONDS }),
      backendReturnSeconds: integerFrom(env, 'FALLBACK_AFTER_SECONDS', { fallback: 60, min: 0, max: DAY_SECONDS }),
    },
    recovery: recoveryFrom(env),
    provider: providerFrom(env),
    graphPolicy: graphPolicyFrom(env, host),
    creditsPerGraph: integerFrom(env, 'CREDITS_PER_GRAPH', { fallback: 1, min: 0, max: 1_000_000 }),
    recoverySettings: {
      alertThreshold: numberFrom(env, 'RECOVERY_ALERT_THRESHOLD', { fallback: 0.8, min: 0, max: 1 }),
      hasStatistics: booleanFrom(env, 'RECOVERY_STATISTICS_ENABLED', true),
    },
    inputs: {
      scratchFolder: join(resolve(projectRoot, stringFrom(env, 'DATA_DIR', '.data')), 'uploads'),
      // ComfyUI's own limit for a request is 100 MB (--max-upload-size): a little less, for the form around the file.
      maxUploadBytes: integerFrom(env, 'MAX_UPLOAD_BYTES', { fallback: 99 * MIB, min: 1, max: 4_096 * MIB }),
      maxInputPixels: integerFrom(env, 'MAX_INPUT_PIXELS', { fallback: 50_000_000, min: 1, max: 100_000_000 }),
      ffmpegPath: ffmpegPathFrom(env),
      addressRules: addressRulesFrom(env),
    },
  };
}

const MIB = 1_048_576;
const INPUT_URLS = ['https', 'http', 'off'] as const;

function addressRulesFrom(env: Env): AddressRules | null {
  const text = stringFrom(env, 'INPUT_URLS', 'https');
  const mode = INPUT_URLS.find((known) => known === text);
  if (mode === undefined) throw new ConfigError(`INPUT_URLS is "${text}", but must be one of ${INPUT_URLS.join(', ')}`);
  const ports = listOf(stringFrom(env, 'INPUT_URL_PORTS', mode === 'http' ? '443,80' : '443')).map(Number);
  if (!ports.every((port) => Number.isInteger(port) && port >= 1 && port <= 65_535)) {
    throw new ConfigError('INPUT_URL_PORTS must be ports from 1 to 65535, such as 443,8443');
  }
  const networks = listFrom(env, 'INPUT_URL_NETWORKS');
  return mode === 'off' ? null : createAddressRules({ allowsHttp: mode === 'http', ports, networks });
}

function recoveryFrom(env: Env): RecoveryPolicy {
  const substitutes = listOf(stringFrom(env, 'MODEL_SUBSTITUTES', DEFAULT_RECOVERY.substitutes.join(',')));
  return {
    isEnabled: booleanFrom(env, 'ERROR_RECOVERY_ENABLED', DEFAULT_RECOVERY.isEnabled),
    isStrict: DEFAULT_RECOVERY.isStrict,
    maxAttempts: integerFrom(env, 'MAX_RETRY_ATTEMPTS', { fallback: DEFAULT_RECOVERY.maxAttempts, min: 0, max: 10 }),
    substitutes: substitutes.filter((name) => name.toLowerCase() !== 'none'),
  };
}

function providerFrom(env: Env): ProviderMode {
  const text = stringFrom(env, 'PROVIDER', 'comfyui');
  const mode = PROVIDER_MODES.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new ConfigError(`PROVIDER is "${text}", but must be one of ${PROVIDER_MODES.join(', ')}`);
}

function databaseUrlFrom(env: Env): string {
  const url = stringFrom(env, 'DATABASE_URL', '');
  if (url === '')
    throw new ConfigError('DATABASE_URL is not set. "npm start" sets it; a process started alone needs it');
  return url;
}

function listFrom(env: Env, name: string): readonly string[] {
  return listOf(stringFrom(env, name, '').toLowerCase());
}

function listOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
