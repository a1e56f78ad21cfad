import { startBenchServers, startBenchService } from '../bench-stack.js';
import { gapsIn } from '../gpu-gaps.js';
import { STEPS } from '../picture.js';
import { rounded, sayTable } from '../print.js';
import { spreadOf } from '../quantile.js';
import type { BenchSection } from '../section.js';
import { generate } from '../service-client.js';
import { timeCalls } from '../timing.js';

const RENDER_SECONDS = 1;
const WAITING = 20;

/** How long the GPU does nothing between two generations that both wait for it. */
export const idle: BenchSection = {
  name: 'idle',
  limitMs: 6 * 60_000,
  async measure(run) {
    const servers = await startBenchServers(run);
    const options = { simulators: 1, secondsPerStep: RENDER_SECONDS / STEPS };
    const { apiUrl, simulators } = await startBenchService(servers, run, options);
    await timeCalls(async () => generate(apiUrl), { count: WAITING, concurrency: WAITING });
    const gaps = gapsIn(simulators[0]?.journal() ?? []);
    const { p50, p95 } = spreadOf(gaps);
    sayTable(
      [`${WAITING} renderings of ${RENDER_SECONDS} s, one GPU`, 'p50', 'p95', 'most'],
      [['GPU idle between two, ms', p50.toFixed(0), p95.toFixed(0), Math.max(...gaps).toFixed(0)]],
    );
    return { gpuIdleMsP50: rounded(p50), gpuIdleMsP95: rounded(p95) };
  },
};
