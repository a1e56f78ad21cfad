import type { RecoverySettings } from '../api-config.js';
import type { StatisticsView } from '../schemas/statistics-view.js';
import type { RecoveryCounts, Statistics } from './read-statistics.js';

/** What a caller sees of the statistics. */
export function statisticsView(statistics: Statistics, { alertThreshold }: RecoverySettings): StatisticsView {
  const { since, until, byStatus, seconds, byKind, byStrategy, falUsdOfDay } = statistics;
  const errors = totalOf(byKind);
  const recoveryRate = recoveryRateOf(errors);
  const ended = byStatus.COMPLETED + byStatus.FAILED + byStatus.TIMEOUT;
  return {
    since: since.toISOString(),
    until: until.toISOString(),
    generations: byStatus,
    successRate: ended === 0 ? null : byStatus.COMPLETED / ended,
    seconds,
    errors: { ...errors, recoveryRate, isBelowThreshold: recoveryRate !== null && recoveryRate < alertThreshold },
    byKind: [...byKind],
    byStrategy: [...byStrategy],
    falUsdOfLast24Hours: falUsdOfDay,
  };
}

/** All failures together. */
export function totalOf(counts: readonly RecoveryCounts[]): RecoveryCounts {
  const sum = (field: keyof RecoveryCounts) => counts.reduce((total, row) => total + row[field], 0);
  return { total: sum('total'), recovered: sum('recovered'), failed: sum('failed'), underWay: sum('underWay') };
}

/** The share of the failures whose outcome is known, 0 to 1; `null` when none is. */
export function recoveryRateOf({ recovered, failed }: RecoveryCounts): number | null {
  return recovered + failed === 0 ? null : recovered / (recovered + failed);
}
