import pg from 'pg';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectAgreement } from '../support/agreement.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator();
  service = await startService({ comfyUrls: [simulator.url], env: { RECONCILE_INTERVAL_MS: '500' } });
}, 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

test('an accepted generation whose outbox row was lost is started and completes', async () => {
  await service.killWorker();
  const { id } = await service.submit({ template: 'test-card', parameters: { width: 64, height: 64 } });
  const client = new pg.Client({ connectionString: service.databaseUrl });
  await client.connect();
  const { rowCount } = await client.query('DELETE FROM outbox WHERE generation_id = $1', [id]);
  await client.end();
  expect(rowCount).toBe(1);
  await service.startWorker();
  await service.untilStatus(id, 'COMPLETED', 60_000);
  expect(service.workerLog()).toContain('An accepted generation has no Workflow and is started');
  await expectAgreement(service, id);
}, 120_000);
