import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import { arm } from '../activities/support/simulators.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const RULES = `
rules:
  - name: flaky-node
    pattern: flux capacitor is cold
    kind: UNEXPECTED
    strategy: retry
    maxRetries: 2
  - name: riddle
    pattern: nobody knows why
    kind: UNEXPECTED
  - name: heavy-node
    pattern: not enough (tiles|rows)
    kind: CUDA_OOM
    strategy: reduce_params
    adjust:
      - {parameter: width, operation: multiply, factor: 0.5, min: 128}
      - {parameter: steps, operation: set, factor: 4}
      - {parameter: cfg, operation: subtract, factor: 2}
      - {parameter: stepz, operation: set, factor: 1}
`;

let folder: string;
let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'recovery-config-'));
  writeFileSync(join(folder, 'rules.yaml'), RULES);
  simulator = await startSimulator({ secondsPerStep: 0 });
  service = await startService({
    comfyUrls: [simulator.url],
    env: { RECOVERY_CONFIG: join(folder, 'rules.yaml') },
  });
}, 90_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
  rmSync(folder, { recursive: true });
}, 60_000);

let seed = 0;
async function submitted(recovery?: object): Promise<string> {
  seed += 1;
  const parameters = { prompt: 'a heron', width: 512, height: 512, steps: 30, cfg: 7, seed };
  const body = { template: 'sd15-text-to-image', parameters, ...(recovery !== undefined && { recovery }) };
  return (await service.submit(body)).id;
}

/** The evidence that is kept with a failure. */
async function factsOf(id: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: service.databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ failure: { facts: unknown } }>(
    'SELECT failure FROM generations WHERE id = $1',
    [id],
  );
  await client.end();
  return rows[0]?.failure.facts;
}

const says = async (exceptionMessage: string, count: number) =>
  arm(simulator, { kind: 'node_error', nodeType: 'KSampler', exceptionType: 'RuntimeError', exceptionMessage, count });

test('R5.1 a rule of the operators knows a text, and what to do about it', async () => {
  await says('The FLUX capacitor is cold', 2);
  const seen = await service.untilStatus(await submitted(), 'COMPLETED', 60_000);
  expect(seen.attempts).toMatchObject([
    { kind: 'UNEXPECTED', strategy: 'retry' },
    { kind: 'UNEXPECTED', strategy: 'retry' },
  ]);
  expect(seen.attempts.map((attempt) => 'message' in attempt && attempt.message)).toEqual([
    'The generation is tried once more (rule flaky-node)',
    'The generation is tried once more (rule flaky-node)',
  ]);
}, 90_000);

test('R5.1 it is given up after max retries, where nothing built-in is left, and the failure names the rule', async () => {
  await says('The FLUX capacitor is cold', 3);
  const seen = await service.untilStatus(await submitted(), 'FAILED', 60_000);
  expect(seen.attempts).toHaveLength(2);
  expect(seen.error?.kind).toBe('UNEXPECTED');
  expect(seen.error?.detail).toMatch(/capacitor is cold \(rule flaky-node\)$/);
}, 90_000);

test('R5.1 UNEXPECTED is tried once more, and then ends with what was seen', async () => {
  await says('Nobody knows why', 5);
  const id = await submitted();
  const seen = await service.untilStatus(id, 'FAILED', 60_000);
  await fetch(`${simulator.url}/simulator/faults`, { method: 'DELETE' });
  // A rule that only gives the failure its kind is named all the same.
  const message = 'Something unexpected went wrong; the generation is tried once more (rule riddle)';
  expect(seen.attempts).toMatchObject([
    { kind: 'UNEXPECTED', strategy: 'retry', message, rule: 'riddle', success: false },
  ]);
  const job = await (await fetch(`${service.apiUrl}/api/error-recovery/jobs/${id}/status`)).json();
  expect(job).toMatchObject({ data: { recovery_history: [{ message: expect.stringMatching(/ \(rule riddle\)$/) }] } });
  const detail = 'Node 3 (KSampler) failed: Nobody knows why (rule riddle)';
  expect(seen.error).toMatchObject({ kind: 'UNEXPECTED', detail });
  const numbers = [1, 2, 3].map((submission) => promptIdOf(id, submission));
  const started = simulator.journal().filter(({ event }) => event === 'rendering_started');
  expect(numbers.map((promptId) => started.some((entry) => entry.promptId === promptId))).toEqual([true, true, false]);
  expect(await factsOf(id)).toMatchObject({ nodeId: '3', nodeType: 'KSampler', exceptionType: 'RuntimeError' });
}, 90_000);

test('R5.1 its adjustments change the graph, the caller sees them, and the picture is what they say', async () => {
  await says('not enough rows in the tensor', 1);
  const seen = await service.untilStatus(await submitted(), 'COMPLETED', 60_000);
  expect(seen.attempts).toMatchObject([
    {
      kind: 'CUDA_OOM',
      strategy: 'reduce_params',
      message: 'Parameters are changed, and it is rendered again (rule heavy-node)',
      before: { width: 512, steps: 30, cfg: 7 },
      after: { width: 256, height: 512, steps: 4, cfg: 5 },
    },
  ]);
  expect(seen.delivered).toEqual({ ...seen.asked, width: 256, steps: 4, cfg: 5 });
  expect(seen.outputs).toMatchObject([{ width: 256, height: 512 }]);
  const warning = service
    .workerLog()
    .split('\n')
    .find((line) => line.includes('no node of the graph has'));
  expect(warning).toMatch(/"parameter":"stepz".*"closest":\["steps"/);
}, 90_000);

test('R5.1 under strict a rule changes nothing that was asked for; what is tried for the kind follows', async () => {
  await says('not enough rows in the tensor', 1);
  const seen = await service.untilStatus(await submitted({ strict: true }), 'COMPLETED', 60_000);
  expect(seen.attempts).toMatchObject([{ kind: 'CUDA_OOM', strategy: 'free_memory', rule: 'heavy-node' }]);
  expect(seen.delivered).toEqual(seen.asked);
}, 90_000);

test('R5.1 a pattern that could hang is refused at start, with its line', async () => {
  const path = join(folder, 'bad.yaml');
  writeFileSync(path, 'rules:\n  - name: bad\n    pattern: (a+)+$\n    kind: TIMEOUT\n');
  await expect(
    service.startOther('bad', { RECOVERY_CONFIG: path, WORKER_ROLES: 'gpu', BACKEND_ID: 'bad' }),
  ).rejects.toThrow(/RECOVERY_CONFIG .*bad.yaml, line 3: rule bad: the pattern could hang/);
}, 60_000);
