import { generationWorkflowId } from '../../../workflows/contracts/generation.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import type { BenchServers, BenchService } from '../bench-stack.js';
import { timedEventsOf } from '../history-profile.js';
import { STEPS } from '../picture.js';
import { sayTable } from '../print.js';
import { quantile } from '../quantile.js';
import type { BenchSection } from '../section.js';
import { generate } from '../service-client.js';

const SHORT_SECONDS = 1;
const LONG_SECONDS = 30;
const SHORT_RUNS = 5;

/** Events that one generation leaves in its history, whether it renders for a second or for half a minute. */
export const events: BenchSection = {
  name: 'events',
  limitMs: 6 * 60_000,
  async measure(run) {
    const servers = await startBenchServers(run);
    const service = await startBenchService(servers, run, { simulators: 1, secondsPerStep: SHORT_SECONDS / STEPS });
    const short: number[] = [];
    for (let count = 0; count < SHORT_RUNS; count += 1) short.push(await eventsOfOne(servers, service));
    await slowDown(service, LONG_SECONDS / SHORT_SECONDS);
    const long = await eventsOfOne(servers, service);
    sayTable(
      ['Rendering', 'events'],
      [
        [`${SHORT_SECONDS} s, median of ${SHORT_RUNS}`, String(quantile(short, 0.5))],
        [`${SHORT_SECONDS} s, most`, String(Math.max(...short))],
        [`${LONG_SECONDS} s`, String(long)],
      ],
    );
    return { eventsPerHistory: quantile(short, 0.5), eventsPerLongHistory: long };
  },
};

async function eventsOfOne({ temporal }: BenchServers, { apiUrl }: BenchService): Promise<number> {
  return (await timedEventsOf(temporal, generationWorkflowId(await generate(apiUrl)))).length;
}

async function slowDown({ simulators }: BenchService, factor: number): Promise<void> {
  for (const { url } of simulators) {
    const fault = { kind: 'slow', nodeType: 'KSampler', factor };
    const response = await fetch(`${url}/simulator/faults`, { method: 'POST', body: JSON.stringify(fault) });
    if (!response.ok) throw new Error(`The simulator cannot be slowed down: ${await response.text()}`);
  }
}
