import { statfs } from 'node:fs/promises';
import type { RequestHandler } from 'express';
import { Registry, collectDefaultMetrics } from 'prom-client';
import type { Database } from '../../infra/postgres/database.js';
import type { Logger } from '../../infra/runtime/logger.js';
import type { RecoverySettings } from '../api-config.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import type { ReadStatistics } from '../statistics/read-statistics.js';
import { recoveryRateOf, totalOf } from '../statistics/statistics-view.js';
import { withDeadline } from '../with-deadline.js';
import { backendFamilies } from './backend-families.js';
import { expositionOf } from './exposition.js';
import type { MetricFamily } from './exposition.js';
import { createFreshReading } from './fresh-reading.js';
import { createReadHistory } from './read-history.js';
import { readOpenWork } from './read-open-work.js';
import { createRequestDurations } from './request-durations.js';
import { historyFamilies, openFamilies, templateLabelOf } from './service-families.js';

export interface ServiceMetricsDeps {
  readonly database: Database;
  readonly directory: BackendDirectory;
  readonly templateNames: Iterable<string>;
  readonly readStatistics: ReadStatistics;
  readonly recoverySettings: RecoverySettings;
  /** Where uploads lie on their way. */
  readonly scratchFolder: string;
  readonly logger: Logger;
}

export interface ServiceMetrics {
  readonly observeRequests: RequestHandler;
  /** Prometheus' text format. Never fails: what cannot be read is left out. */
  readonly render: () => Promise<string>;
}

/** Between two looks at the database. */
const DATABASE_MS = 5_000;
/** The rate is over a day and reads as much. */
const RATE_MS = 30_000;
const RATE_HOURS = 24;
const STORE_DEADLINE_MS = 1_500;

/** Figures of the service, from the database and the reports of the GPU workers, and of this process. */
export function createServiceMetrics(deps: ServiceMetricsDeps): ServiceMetrics {
  const { database, directory, logger } = deps;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const templateLabel = templateLabelOf(deps.templateNames);
  const readHistory = createReadHistory(database);
  const onError = (error: unknown): void => {
    logger.warn({ err: error }, 'Figures for /metrics could not be read');
  };
  const counted = createFreshReading({
    everyMs: DATABASE_MS,
    read: async () => ({ history: await readHistory(), work: await readOpenWork(database) }),
    onError,
  });
  const rate = createFreshReading({ everyMs: RATE_MS, read: async () => recoveryRate(deps), onError });
  return {
    observeRequests: createRequestDurations(registry),
    async render() {
      const [figures, recovery, backends, freeBytes] = await Promise.all([
        counted(),
        deps.recoverySettings.hasStatistics ? rate() : null,
        withDeadline(STORE_DEADLINE_MS, directory.backends()).catch(() => null),
        statfs(deps.scratchFolder).then(
          ({ bavail, bsize }) => bavail * bsize,
          () => null,
        ),
      ]);
      const families = [
        ...(figures === null ? [] : historyFamilies(figures.history, templateLabel)),
        ...(figures === null ? [] : openFamilies(figures.work)),
        ...(backends === null ? [] : backendFamilies(backends)),
        gauge('recovery_rate', 'Share of the failures of 24 hours that were recovered from.', recovery?.rate ?? null),
        gauge('recovery_rate_threshold', 'Below this the rate is too low.', deps.recoverySettings.alertThreshold),
        gauge('database_up', '0: figures from the database are missing here.', figures === null ? 0 : 1),
        gauge('object_store_up', '0: figures of the backends are missing here.', backends === null ? 0 : 1),
        gauge('api_disk_free_bytes', 'Free space where this process keeps uploads on their way.', freeBytes),
      ];
      return expositionOf(families) + (await registry.metrics());
    },
  };
}

function gauge(name: string, ...[help, value]: [string, number | null]): MetricFamily {
  return { name, type: 'gauge', help, samples: value === null ? [] : [{ labels: {}, value }] };
}

/** Wrapped: that nothing has failed is an answer, too. */
async function recoveryRate({ readStatistics }: ServiceMetricsDeps): Promise<{ readonly rate: number | null }> {
  return { rate: recoveryRateOf(totalOf((await readStatistics(RATE_HOURS)).byKind)) };
}
