import { isIP } from 'node:net';
import { isAbsolute, join } from 'node:path';
import { comfyUIDirsFrom } from '../infra/runtime/comfyui-dirs.js';
import { comfyUITargetsFrom } from '../infra/runtime/comfyui-config.js';
import type { ComfyUITarget } from '../infra/runtime/comfyui-config.js';
import { ConfigError, booleanFrom, integerFrom, stringFrom } from '../infra/runtime/env.js';
import type { Env } from '../infra/runtime/env.js';
import { falConfigFrom } from '../infra/runtime/fal-config.js';
import type { FalConfig } from '../infra/runtime/fal-config.js';
import { ffmpegPathFrom } from '../infra/runtime/ffmpeg-path.js';
import { projectRoot } from '../infra/runtime/project-root.js';
import { storageConfigFrom } from '../infra/runtime/storage-config.js';
import type { StorageConfig } from '../infra/runtime/storage-config.js';
import { temporalConfigFrom } from '../infra/runtime/temporal-connection.js';
import type { TemporalConnectionConfig } from '../infra/runtime/temporal-connection.js';
import { DEFAULT_TIMINGS } from '../workflows/domain/worker-timings.js';
import type { WorkerTimings } from '../workflows/domain/worker-timings.js';
import { upkeepConfigFrom } from './upkeep-config.js';
import type { UpkeepConfig } from './upkeep-config.js';

export const WORKER_ROLES = ['control', 'gpu'] as const;
export type WorkerRole = (typeof WORKER_ROLES)[number];

export interface WorkerConfig {
  readonly roles: readonly WorkerRole[];
  readonly temporal: TemporalConnectionConfig;
  readonly storage: StorageConfig;
  /** `null` for a worker that only has the role `gpu`: a GPU host never needs the database. */
  readonly databaseUrl: string | null;
  readonly dataDir: string;
  readonly searchAttributes: boolean;
  /** Between two comparisons of Temporal with PostgreSQL. */
  readonly reconcileIntervalMs: number;
  /** For a worker with the role `control`: a GPU host never needs the key. */
  readonly fal: FalConfig;
  /** How long no backend must have been healthy before waiting generations are told so. */
  readonly fallbackAfterSeconds: number;
  /** Generations of batches that Temporal has at the same time, for each pool. */
  readonly batchWindow: number;
  readonly upkeep: UpkeepConfig;
  readonly timings: WorkerTimings;
  /** Decodes videos and sounds; `null`: only their containers are looked at. */
  readonly ffmpegPath: string | null;
  /** From the request for a file of a result to its last byte. */
  readonly downloadMs: number;
  readonly gpu: GpuConfig;
  /** Where Prometheus finds its figures; `null`: nowhere, and no port is open. */
  readonly metrics: MetricsAddress | null;
}

export interface MetricsAddress {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
}

export interface GpuConfig {
  readonly targets: readonly ComfyUITarget[];
  /** Where the folders of each of them are, `null` for one that cannot be reached from here. */
  readonly comfyUIDirs: readonly (string | null)[];
  readonly pool: string;
  /** Empty: a random id is made once and kept in the data folder. */
  readonly backendId: string;
  readonly maxGpuJobs: number;
  /** Prompts that may wait in ComfyUI's own queue, so that the GPU does not idle between two. */
  readonly prefetch: number;
  /** How much longer others may wait while a backend stays with the models that it has in memory. */
  readonly affinityMs: number;
  readonly pollIntervalMs: number;
  /** Between two looks for prompts that nobody waits for any more. */
  readonly sweepIntervalMs: number;
  /** File with the operators' own rules; empty: there are none. */
  readonly recoveryConfigPath: string;
}

/** 4 GiB at 1.4 MB/s; slower than that is not delivered but dripped. Temporal takes an attempt for dead after an hour. */
const DOWNLOAD_SECONDS = { fallback: 3_000, min: 1, max: 3_500 };

/** Everything a worker process is configured by; throws `ConfigError` naming the variable. */
export function workerConfigFrom(env: Env): WorkerConfig {
  const roles = rolesFrom(env);
  const targets = comfyUITargetsFrom(env);
  return {
    roles,
    temporal: temporalConfigFrom(env),
    storage: storageConfigFrom(env),
    databaseUrl: roles.includes('control') ? databaseUrlFrom(env) : null,
    dataDir: dataDirFrom(env),
    searchAttributes: booleanFrom(env, 'SEARCH_ATTRIBUTES', true),
    reconcileIntervalMs: integerFrom(env, 'RECONCILE_INTERVAL_MS', { fallback: 60_000, min: 200, max: 3_600_000 }),
    fal: falConfigFrom(env),
    batchWindow: integerFrom(env, 'BATCH_WINDOW', { fallback: 200, min: 1, max: 100_000 }),
    upkeep: upkeepConfigFrom(env),
    timings: timingsFrom(env),
    fallbackAfterSeconds: integerFrom(env, 'FALLBACK_AFTER_SECONDS', { fallback: 60, min: 0, max: 86_400 }),
    ffmpegPath: ffmpegPathFrom(env),
    downloadMs: 1_000 * integerFrom(env, 'DOWNLOAD_TIMEOUT_SECONDS', DOWNLOAD_SECONDS),
    metrics: metricsAddressFrom(env),
    gpu: {
      targets,
      comfyUIDirs: comfyUIDirsFrom(env, targets.length),
      pool: poolFrom(env),
      backendId: backendIdFrom(env),
      maxGpuJobs: integerFrom(env, 'MAX_GPU_JOBS', { fallback: 1, min: 1, max: 64 }),
      prefetch: integerFrom(env, 'PREFETCH', { fallback: 1, min: 0, max: 64 }),
      affinityMs: integerFrom(env, 'AFFINITY_SECONDS', { fallback: 30, min: 0, max: 3_600 }) * 1_000,
      sweepIntervalMs: integerFrom(env, 'SWEEP_INTERVAL_MS', { fallback: 10_000, min: 200, max: 600_000 }),
      recoveryConfigPath: stringFrom(env, 'RECOVERY_CONFIG', ''),
      pollIntervalMs: integerFrom(env, 'POLL_INTERVAL_MS', { fallback: 2_500, min: 50, max: 3_000 }), // R4.1: at most 3 s
    },
  };
}

/** Minimum 3 s: three heartbeats, because the SDK sends one a second at most. Minimum 5 s: a worker restarts within it. */
const HEARTBEAT_SECONDS = { fallback: DEFAULT_TIMINGS.heartbeatTimeoutSeconds, min: 3, max: 300 };
const SCHEDULE_TO_START_SECONDS = { fallback: DEFAULT_TIMINGS.scheduleToStartSeconds, min: 5, max: 3_600 };

function timingsFrom(env: Env): WorkerTimings {
  return {
    heartbeatTimeoutSeconds: integerFrom(env, 'HEARTBEAT_TIMEOUT_SECONDS', HEARTBEAT_SECONDS),
    scheduleToStartSeconds: integerFrom(env, 'SCHEDULE_TO_START_SECONDS', SCHEDULE_TO_START_SECONDS),
  };
}

function metricsAddressFrom(env: Env): MetricsAddress | null {
  const port = integerFrom(env, 'METRICS_PORT', { fallback: 0, min: 0, max: 65_535 });
  const host = stringFrom(env, 'METRICS_HOST', '127.0.0.1');
  if (isIP(host) === 0) throw new ConfigError(`METRICS_HOST is "${host}", but must be an IP address, such as 0.0.0.0`);
  return port === 0 ? null : { host: isIP(host) === 6 ? `[${host}]` : host, port };
}

function rolesFrom(env: Env): readonly WorkerRole[] {
  const names = stringFrom(env, 'WORKER_ROLES', WORKER_ROLES.join(','))
    .split(',')
    .map((name) => name.trim());
  return names.map((name) => {
    const role = WORKER_ROLES.find((known) => known === name);
    if (role === undefined)
      throw new ConfigError(`WORKER_ROLES has "${name}", but knows only ${WORKER_ROLES.join(' and ')}`);
    return role;
  });
}

function databaseUrlFrom(env: Env): string {
  const url = stringFrom(env, 'DATABASE_URL', '');
  if (url === '') throw new ConfigError('DATABASE_URL is not set, but a worker with the role control needs it');
  return url;
}

function dataDirFrom(env: Env): string {
  const folder = stringFrom(env, 'DATA_DIR', '.data');
  return isAbsolute(folder) ? folder : join(projectRoot, folder);
}

/** Becomes part of Task Queue names and object keys. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

function poolFrom(env: Env): string {
  const pool = stringFrom(env, 'POOL', 'default');
  if (!NAME.test(pool)) throw new ConfigError(`POOL is "${pool}", but may only have letters, digits, - and _`);
  return pool;
}

function backendIdFrom(env: Env): string {
  const id = stringFrom(env, 'BACKEND_ID', '');
  if (id !== '' && !NAME.test(id))
    throw new ConfigError(`BACKEND_ID is "${id}", but may only have letters, digits, - and _`);
  return id;
}
