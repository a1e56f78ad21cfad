import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { arm } from '../activities/support/simulators.js';
import { freePort } from '../activities/support/stub-server.js';
import { findPrometheus, startPrometheus } from '../support/prometheus.js';
import type { Prometheus } from '../support/prometheus.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

let simulator: SimulatorProcess;
let service: Service;
let prometheus: Prometheus;
let workerMetrics: string;
let seed = 0;

/** Renders for three times the 5 s that /metrics remembers the database for: who waits is seen waiting. */
const LONG_STEPS = 150;

beforeAll(async () => {
  const program = await findPrometheus();
  simulator = await startSimulator({ secondsPerStep: 0.1, extraArgs: ['--device', 'cuda'] });
  const port = await freePort();
  workerMetrics = `http://127.0.0.1:${port}/metrics`;
  const env = { BACKEND_ID: 'gpu-a', METRICS_PORT: String(port) };
  service = await startService({ comfyUrls: [simulator.url], env });
  await service.post('/v1/accounts', { id: 'acme' });
  await service.post('/v1/accounts/acme/grants', { credits: 100, reference: 'first' });
  await oneOfEach();
  const [api, worker] = [new URL(service.apiUrl).host, new URL(workerMetrics).host];
  prometheus = await startPrometheus(program, { api, worker });
  await until('both are read', async () => {
    const targets = await prometheus.targets();
    return targets.length === 2 && targets.every(({ health }) => health === 'up');
  });
}, 20 * 60_000);

afterAll(async () => {
  await prometheus.stop();
  await service.stop();
  await simulator.stop();
}, 90_000);

async function submit(steps: number): Promise<string> {
  seed += 1;
  const parameters = { prompt: 'a weir', width: 64, height: 64, steps, seed };
  return (await service.submit({ template: 'sd15-text-to-image', parameters, account: 'acme' })).id;
}

/** One that completes, one that fails, and one that is recovered from. */
async function oneOfEach(): Promise<void> {
  await service.untilStatus(await submit(1), 'COMPLETED', 60_000);
  await arm(simulator, { kind: 'no_face', nodeType: 'KSampler', count: 1 });
  await service.untilStatus(await submit(1), 'FAILED', 60_000);
  await arm(simulator, { kind: 'oom', nodeType: 'KSampler', count: 1 });
  const recovered = await service.untilStatus(await submit(1), 'COMPLETED', 60_000);
  expect(recovered.attempts).toHaveLength(1);
}

/** Every expression of the dashboard, with what Grafana puts in for its variables. */
function dashboardExpressions(): readonly string[] {
  const path = join(projectRoot, 'infra', 'grafana', 'dashboards', 'durable-comfy.json');
  const { panels } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
  };
  const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  return expressions.map((expr) =>
    expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '5m').replaceAll('$pool', '.*'),
  );
}

/** Names of ours in a scrape. */
async function familiesAt(url: string): Promise<readonly string[]> {
  const text = await (await fetch(url)).text();
  return [...text.matchAll(/^# TYPE (durable_comfy_\w+) /gm)].map(([, name]) => name ?? '');
}

describe('what operators are given', () => {
  test('R4.8 every query of the dashboard answers with figures of a service that works', async () => {
    const first = dashboardExpressions();
    expect(first.length).toBeGreaterThan(40);
    await oneOfEach();
    await submit(LONG_STEPS);
    await submit(1); // the GPU is taken: it waits
    let silent: readonly string[] = first;
    await until(
      'every query has an answer',
      async () => {
        const answers = await Promise.all(
          silent.map(async (expression) => ((await prometheus.query(expression)).length > 0 ? [] : [expression])),
        );
        silent = answers.flat();
        return silent.length === 0;
      },
      60_000,
    ).catch((error: unknown) => {
      throw new Error(`No figures for:\n${silent.join('\n')}`, { cause: error });
    });
  }, 180_000);

  test('R4.8 the figures are those of what was done', async () => {
    const valueOf = async (expression: string): Promise<number> =>
      Number((await prometheus.query(expression))[0]?.value[1] ?? Number.NaN);
    await until('all are counted', async () => (await valueOf('sum(durable_comfy_generations_ended_total)')) >= 6);
    expect(await valueOf('sum(durable_comfy_generations_ended_total{status="FAILED",kind="NO_FACE"})')).toBe(2);
    expect(await valueOf('sum(durable_comfy_recoveries_total{kind="CUDA_OOM",success="true"})')).toBe(2);
    expect(await valueOf('durable_comfy_credits_total{kind="grant"}')).toBe(100);
    expect(await valueOf('durable_comfy_backend_vram_total_bytes{backend="gpu-a"}')).toBeGreaterThan(1e9);
    await until(
      'the GPU has been seen busy',
      async () => (await valueOf('durable_comfy_backend_busy_seconds_total{backend="gpu-a"}')) > 1,
    );
    const { count } = await service.temporal.workflow.count("ExecutionStatus != 'Running'");
    expect(count).toBeGreaterThanOrEqual(6);
    const executed = 'sum(temporal_activity_execution_latency_seconds_count{activity_type="recordOutcome"})';
    expect(await valueOf(executed)).toBeGreaterThanOrEqual(6);
  }, 60_000);

  test('R5.12 every alert is read and evaluated; a ComfyUI that is away raises its own', async () => {
    const rules = await until('all were evaluated', async () => {
      const seen = await prometheus.rules();
      return seen.length > 0 && seen.every(({ health }) => health !== 'unknown') ? seen : null;
    });
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
    expect(rules.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['RecoveryRateLow', 'GenerationsWaitLong', 'BackendDown', 'DiskLow']),
    );
    const pending = async (name: string) => (await prometheus.query(`ALERTS{alertname="${name}"}`)).length > 0;
    // Two of four generations' failures were recovered from.
    await until('the low rate is seen', async () => pending('RecoveryRateLow'), 60_000);
    expect(await pending('BackendDown')).toBe(false);
    await simulator.kill('SIGKILL');
    await until('its alert is pending', async () => pending('BackendDown'), 60_000);
    simulator = await startSimulator({
      ...{ secondsPerStep: 0.1, port: simulator.port, dataDir: simulator.dataDir },
      extraArgs: ['--device', 'cuda'],
    });
    await until('and is over', async () => !(await pending('BackendDown')), 60_000);
  }, 240_000);

  test('R4.8 docs/metrics.md has every figure of ours, and no other', async () => {
    await submit(LONG_STEPS);
    await submit(1);
    await until('one waits', async () =>
      (await familiesAt(`${service.apiUrl}/metrics`)).includes('durable_comfy_queue_depth'),
    );
    const table = readFileSync(join(projectRoot, 'docs', 'metrics.md'), 'utf8');
    const documented = [...table.matchAll(/^\| `(durable_comfy_\w+)`/gm)].map(([, name]) => name ?? '');
    const served = [...(await familiesAt(`${service.apiUrl}/metrics`)), ...(await familiesAt(workerMetrics))];
    expect([...documented].sort()).toEqual([...new Set(served)].sort());
  }, 60_000);

  test('no figure has a label for a generation, a prompt or an account', async () => {
    for (const url of [`${service.apiUrl}/metrics`, workerMetrics]) {
      const text = await (await fetch(url)).text();
      expect(text).not.toMatch(/gen_|acme|workflow_id|run_id/);
    }
  });
});
