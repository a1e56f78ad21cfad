import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import { progressQuery } from '../../workflows/contracts/generation.js';
import { expectAgreement } from '../support/agreement.js';
import { operatorByCommand } from '../support/operators.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

let simulators: readonly SimulatorProcess[];
let service: Service;

beforeAll(async () => {
  simulators = await Promise.all([startSimulator({ secondsPerStep: 0.5 }), startSimulator({ secondsPerStep: 0.5 })]);
  service = await startService({
    comfyUrls: simulators.map(({ url }) => url),
    env: { RECONCILE_INTERVAL_MS: '500', SWEEP_INTERVAL_MS: '500' },
  });
}, 120_000);

afterAll(async () => {
  await service.stop();
  await Promise.all(simulators.map(async (simulator) => simulator.stop()));
}, 60_000);

const handleOf = (id: string, runId?: string) => service.temporal.workflow.getHandle(`generation/${id}`, runId);

/** Event ids of every WorkflowTaskCompleted of the latest run, and that run. */
async function workflowTasksOf(id: string) {
  const { runId } = await handleOf(id).describe();
  const { events } = await handleOf(id, runId).fetchHistory();
  const completed = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes);
  return { runId, eventIds: completed.map(({ eventId }) => Number(eventId)) };
}

function journalOf(id: string, event: string) {
  const prompts = [1, 2, 3].map((submission) => promptIdOf(id, submission));
  return simulators
    .flatMap((simulator) => simulator.journal())
    .filter((entry) => entry.event === event && prompts.includes(entry.promptId ?? ''));
}

test('a generation that renders, reset to every WorkflowTaskCompleted: the same prompt, rendered once, on one of two backends', async () => {
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a delta', width: 64, height: 64, steps: 150, seed: 1 },
  });
  await service.untilStatus(id, 'PROCESSING', 60_000);
  const { runId, eventIds } = await workflowTasksOf(id);
  expect(eventIds.length).toBeGreaterThan(2);
  for (const eventId of eventIds) {
    await operatorByCommand(service.namespace).reset(id, { runId, eventId });
    await until(
      `it renders again after a reset to ${eventId}`,
      async () => {
        const { phase, submission } = await handleOf(id).query(progressQuery);
        return phase === 'rendering' && submission === 1;
      },
      60_000,
    );
  }
  expect(journalOf(id, 'rendering_finished')).toEqual([]); // all of it happened while it rendered
  const finished = await service.untilStatus(id, 'COMPLETED', 120_000);
  expect(finished.attempts).toEqual([]);
  for (const event of ['prompt_received', 'rendering_started', 'rendering_finished']) {
    expect(journalOf(id, event)).toHaveLength(1);
  }
  expect(journalOf(id, 'interrupt')).toEqual([]);
  await expectAgreement(service, id);
}, 360_000);

test('a generation whose picture is stored and not yet recorded, reset to every WorkflowTaskCompleted: rendered once', async () => {
  let resets = 0;
  for (let task = 0, last = 0; task <= last; task += 1) {
    await service.killWorker('SIGTERM');
    await service.startWorker({ CRASH_AT: 'recordOutcome.before' });
    const { id } = await service.submit({
      template: 'sd15-text-to-image',
      parameters: { prompt: 'a quay', width: 64, height: 64, steps: 2, seed: 2 + task },
    });
    await service.workerEnded();
    const { runId, eventIds } = await workflowTasksOf(id);
    last = eventIds.length - 1;
    await operatorByCommand(service.namespace).reset(id, { runId, eventId: eventIds[task] ?? 0 });
    resets += 1;
    await service.startWorker();
    const finished = await service.untilStatus(id, 'COMPLETED', 60_000);
    expect(finished).toMatchObject({ attempts: [], outputs: [{ width: 64 }] });
    for (const event of ['prompt_received', 'rendering_started', 'rendering_finished']) {
      expect(journalOf(id, event)).toHaveLength(1);
    }
    await expectAgreement(service, id);
  }
  expect(resets).toBeGreaterThan(5);
}, 600_000);

test.each(['COMPLETED', 'FAILED'] as const)(
  'a generation that has ended as %s, reset to every WorkflowTaskCompleted: refused, and nothing is rendered',
  async (status) => {
    const { id } = await service.submit(
      status === 'COMPLETED'
        ? { template: 'test-card', parameters: { width: 64, height: 64 } }
        : { graph: { 1: { class_type: 'SaveImage', inputs: { filename_prefix: 'a' } } } },
    );
    const before = await service.untilStatus(id, status, 60_000);
    const queued = journalOf(id, 'prompt_queued').length;
    const { runId, eventIds } = await until('its Workflow is closed', async () => {
      const { status: closedAs } = await handleOf(id).describe();
      return closedAs.name === 'RUNNING' ? null : workflowTasksOf(id);
    });
    for (const eventId of eventIds.slice(0, -1)) {
      await operatorByCommand(service.namespace).reset(id, { runId, eventId });
      await expect(handleOf(id).result()).rejects.toMatchObject({ cause: { type: 'ALREADY_ENDED' } });
    }
    // The last one only closes the Workflow, and does so once more, as before.
    await operatorByCommand(service.namespace).reset(id, { runId, eventId: eventIds.at(-1) ?? 0 });
    await expectAgreement(service, id);
    expect(await service.get(id)).toMatchObject({ status, outputs: before.outputs, error: before.error });
    expect(journalOf(id, 'prompt_queued')).toHaveLength(queued);
  },
  240_000,
);
