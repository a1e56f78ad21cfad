import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectAgreement } from '../support/agreement.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { temporalCommand } from '../support/temporal-command.js';

const REPAIRED_WITHIN_MS = 75_000;
let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.5 });
  service = await startService({ comfyUrls: [simulator.url] }); // with the intervals of every day
}, 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

test('a terminate is repaired within 75 s: CANCELLED, said why, and the GPU free', async () => {
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a heath', width: 64, height: 64, steps: 150, seed: 1 },
  });
  await service.untilStatus(id, 'PROCESSING', 60_000);
  const terminate = ['workflow', 'terminate', '--workflow-id', `generation/${id}`, '--reason', 'out of patience'];
  await temporalCommand(service.namespace, ...terminate);
  const seen = await service.untilStatus(id, 'CANCELLED', REPAIRED_WITHIN_MS);
  expect(seen.error).toBeNull();
  expect(simulator.journal().some(({ event }) => event === 'interrupt')).toBe(true);
  const events = await fetch(`${service.apiUrl}/v1/generations/${id}/events`);
  expect(await events.text()).toContain('Terminated in Temporal: out of patience');
  await expectAgreement(service, id);

  const found = await temporalCommand(
    service.namespace,
    ...['workflow', 'list', '--output', 'json', '--query', "ExecutionStatus = 'Terminated'"],
  );
  expect(found).toContain(`generation/${id}`);
}, 240_000);
