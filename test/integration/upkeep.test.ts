import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { UpkeepReport } from '../../workflows/contracts/upkeep.js';
import { ageFile, oldFile } from '../activities/support/old-file.js';
import { arm } from '../activities/support/simulators.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { temporalCommand } from '../support/temporal-command.js';
import { until } from '../support/until.js';

const TWO_DAYS = 2 * 24 * 3_600;

let simulator: SimulatorProcess;
let service: Service;
let database: pg.Client;
let holiday: string;
const inOutput = (...path: readonly string[]) => join(simulator.dataDir, 'output', ...path);

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.5 });
  holiday = await oldFile(inOutput('holiday.png'), 900 * TWO_DAYS);
  service = await startService({
    comfyUrls: [simulator.url],
    env: { BACKEND_ID: 'gpu-1', COMFYUI_DIR: simulator.dataDir },
  });
  database = new pg.Client({ connectionString: service.databaseUrl });
  await database.connect();
}, 90_000);

afterAll(async () => {
  await database.end();
  await service.stop();
  await simulator.stop();
}, 60_000);

/** A delivered picture, whose file in ComfyUI's output folder is two days old. */
async function deliveredLongAgo(): Promise<SeenGeneration> {
  const { id } = await service.submit({ template: 'test-card', parameters: { width: 64, height: 64 } });
  const seen = await service.untilStatus(id, 'COMPLETED', 60_000);
  for (const name of readdirSync(inOutput('dg', id), { recursive: true, encoding: 'utf8' })) {
    await ageFile(inOutput('dg', id, name), TWO_DAYS);
  }
  return seen;
}

/** Runs a Schedule now, as an operator does, and answers the runs that this adds. */
async function trigger(task: string): Promise<string> {
  const workflowIds = async () => {
    const { info } = await service.temporal.schedule.getHandle(`upkeep/${task}`).describe();
    return info.recentActions.map(({ action }) => action.workflow.workflowId);
  };
  const before = await workflowIds();
  await temporalCommand(service.namespace, 'schedule', 'trigger', '--schedule-id', `upkeep/${task}`);
  return until('the Schedule has started a Workflow', async () =>
    (await workflowIds()).find((id) => !before.includes(id)),
  );
}

const reportOf = async (workflowId: string) =>
  (await service.temporal.workflow.getHandle(workflowId).result()) as UpkeepReport;
const placeIn = ({ places }: UpkeepReport, name: string) => places.find(({ place }) => place === name);

async function currentDetails(workflowId: string): Promise<string> {
  const metadata = await service.temporal.workflow.getHandle(workflowId).query('__temporal_workflow_metadata');
  return (metadata as { readonly currentDetails: string }).currentDetails;
}

test('R4.6 a Schedule that is triggered removes old files from ComfyUI: none of an open generation, none of other people', async () => {
  const { id } = await deliveredLongAgo();
  const open = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a pier', width: 64, height: 64, steps: 150, seed: 1 },
  });
  await service.untilStatus(open.id, 'PROCESSING', 60_000);
  const needed = await oldFile(inOutput('dg', open.id, '1', 'early.png'), TWO_DAYS);

  const workflowId = await trigger('files');
  const report = await reportOf(workflowId);
  expect(placeIn(report, 'files of ComfyUI, backend gpu-1')).toMatchObject({
    files: 1,
    kept: 1,
    failed: 0,
    errors: [],
  });
  expect(report.places.map(({ place }) => place).sort()).toEqual([
    'files of ComfyUI, backend gpu-1',
    'spool for fal.ai',
    'spool of backend gpu-1',
    'unfinished uploads',
    'uploads',
  ]);
  expect(report.places.every(({ failed }) => failed === 0)).toBe(true);
  expect([existsSync(inOutput('dg', id)), existsSync(needed), existsSync(holiday)]).toEqual([false, true, true]);
  expect(await currentDetails(workflowId)).toContain('files of ComfyUI, backend gpu-1: **1** removed');
  expect(service.workerLog()).toContain('Upkeep is done');
  await service.post(`/v1/generations/${open.id}/cancel`);
  await service.untilStatus(open.id, 'CANCELLED', 30_000);
}, 120_000);

test('kill -9 in the middle of the removal: the next attempt goes on and its report is of all that was removed; a paused Schedule stays paused', async () => {
  await service.temporal.schedule.getHandle('upkeep/outputs').pause('by a test');
  const ids: string[] = [];
  for (let count = 0; count < 3; count += 1) ids.push((await deliveredLongAgo()).id);
  await service.killWorker();
  await service.startWorker({ CRASH_AT: 'removeOldFiles.mid:2' });
  const workflowId = await trigger('files');
  expect((await service.workerEnded()).signal).toBe('SIGKILL');
  expect(ids.filter((id) => readdirSync(inOutput('dg')).includes(id)).length).toBeGreaterThan(0);
  await service.startWorker();
  const report = await reportOf(workflowId);
  // and the early file of the generation that was cancelled since
  expect(placeIn(report, 'files of ComfyUI, backend gpu-1')).toMatchObject({ files: 4, kept: 0, failed: 0 });
  expect(readdirSync(inOutput('dg')).filter((id) => ids.includes(id))).toEqual([]);
  const { state } = await service.temporal.schedule.getHandle('upkeep/outputs').describe();
  expect([state.paused, state.note]).toEqual([true, 'by a test']);
  expect(service.workerLog()).not.toContain('Schedules of upkeep could not be made');
}, 150_000);

test('R4.6 a result that was kept for its time is gone, and the API says so; everything else of the generation stays', async () => {
  const { id } = await deliveredLongAgo();
  const kept = await deliveredLongAgo();
  await database.query(
    "UPDATE generations SET created_at = now() - interval '31 days', finished_at = now() - interval '31 days' WHERE id = $1",
    [id],
  );
  const report = await reportOf(await trigger('outputs'));
  expect(placeIn(report, 'delivered results')).toMatchObject({ files: 1, failed: 0 });
  // its Workflow may still be reset, and then the claim keeps it from rendering again
  expect(placeIn(report, 'claim and fal.ai records')).toMatchObject({ files: 0, kept: 1 });
  const seen = await service.get(id);
  expect(seen).toMatchObject({ status: 'COMPLETED', outputs: [{ expiredAt: expect.any(String) }] });
  const gone = await fetch(`${service.apiUrl}/v1/generations/${id}/outputs/0`);
  expect([gone.status, await gone.json()]).toEqual([410, expect.objectContaining({ code: 'output_gone' })]);
  expect((await service.get(kept.id)).outputs).toMatchObject([{ expiredAt: null }]);
  expect((await fetch(`${service.apiUrl}/v1/generations/${kept.id}/outputs/0`)).status).toBe(200);
  expect((await service.post(`/v1/generations/${id}/retry`)).status).toBe(409); // it has not failed: as before
}, 90_000);

test('a disk that is full is cleaned up once where the files are ours, and the generation is submitted again', async () => {
  const { id: old } = await deliveredLongAgo();
  await arm(simulator, { kind: 'disk_full', count: 1 });
  const parameters = { prompt: 'a quay', width: 64, height: 64, steps: 1, seed: 1 };
  const { id } = await service.submit({ template: 'sd15-text-to-image', parameters });
  const seen = await service.untilStatus(id, 'COMPLETED', 60_000);
  expect(seen.attempts).toMatchObject([{ kind: 'DISK_FULL', strategy: 'clean_up', success: true }]);
  expect(existsSync(inOutput('dg', old))).toBe(false);

  await arm(simulator, { kind: 'disk_full', count: 1 });
  const second = await service.submit({ template: 'sd15-text-to-image', parameters: { ...parameters, seed: 2 } });
  const failed = await service.untilStatus(second.id, 'FAILED', 60_000);
  expect(failed).toMatchObject({ attempts: [], error: { kind: 'DISK_FULL' } }); // nothing was left to be removed
}, 120_000);

test('R5.12 recovery data has a Schedule of its own; a task that nobody knows is refused with those that there are', async () => {
  const report = await reportOf(await trigger('recovery-data'));
  expect(report.places).toEqual([
    { place: 'checkpoints and idempotency keys', files: 0, bytes: 0, kept: 0, failed: 0, errors: [] },
  ]);
  const mistyped = { taskQueue: 'generation', workflowId: 'mistyped' };
  for (const args of [[{ task: 'flies' }], []]) {
    const failure = service.temporal.workflow.execute('upkeep', { ...mistyped, args });
    await expect(failure).rejects.toMatchObject({
      cause: { message: expect.stringContaining('files, recovery-data') },
    });
  }
}, 60_000);
