import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Runtime } from '@temporalio/worker';
import type { MetricGauge } from '@temporalio/common';
import type { RuntimeOptions } from '@temporalio/worker';
import type { MetricsAddress } from './worker-config.js';
import { readSpoolFigures } from './spool-figures.js';

const EVERY_MS = 5_000;
const NANOSECONDS = 1e9;
/** Node measures how long a timer took that was set for so long. */
const TIMER_MS = 10;

type Telemetry = Pick<RuntimeOptions, 'telemetryOptions'>;

/** Temporal's library answers `/metrics` itself; figures of ours go through it, so that one scrape has both. */
export function telemetryOptionsOf(metrics: MetricsAddress | null): Telemetry {
  if (metrics === null) return {};
  const prometheus = {
    bindAddress: `${metrics.host}:${metrics.port}`,
    ...{ countersTotalSuffix: true, unitSuffix: true, useSecondsForDurations: true },
  };
  return { telemetryOptions: { metrics: { prometheus } } };
}

/** Figures of this process, every few seconds, until it is stopped. */
export function startProcessFigures({ spoolFolder }: { readonly spoolFolder: string }): { readonly stop: () => void } {
  const meter = Runtime.instance().metricMeter;
  // With its unit: Temporal's library appends that to its own histograms only.
  const gauge = (name: string, help: string): MetricGauge =>
    meter.createGauge(`durable_comfy_worker_${name}`, 'float', undefined, help);
  const memory = gauge('resident_memory_bytes', 'Memory of this worker process.');
  const lag = gauge('event_loop_delay_seconds', 'How late the slowest hundredth of its timers was, in the last 5 s.');
  const free = gauge('disk_free_bytes', 'Free space where it keeps outputs on their way.');
  const spool = gauge('spool_bytes', 'Outputs that are on their way.');
  const delays = monitorEventLoopDelay({ resolution: TIMER_MS });
  delays.enable();
  const look = async (): Promise<void> => {
    memory.set(process.memoryUsage.rss());
    lag.set(Math.max(0, delays.percentile(99) / NANOSECONDS - TIMER_MS / 1_000));
    delays.reset();
    const figures = await readSpoolFigures(spoolFolder);
    if (figures === null) return; // nothing was rendered yet
    free.set(figures.freeBytes);
    spool.set(figures.spoolBytes);
  };
  const timer = setInterval(() => void look(), EVERY_MS);
  void look();
  return {
    stop: () => {
      clearInterval(timer);
      delays.disable();
    },
  };
}
