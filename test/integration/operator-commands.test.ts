import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import { expectAgreement } from '../support/agreement.js';
import { operatorByCommand, operatorInWebUi } from '../support/operators.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { temporalCommand } from '../support/temporal-command.js';
import { until } from '../support/until.js';

let simulator: SimulatorProcess;
let service: Service;
let seed = 0;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.5 });
  const env = { RECONCILE_INTERVAL_MS: '500', SWEEP_INTERVAL_MS: '500' };
  service = await startService({ comfyUrls: [simulator.url], env });
}, 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

async function rendering(steps: number): Promise<string> {
  seed += 1;
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a moor', width: 64, height: 64, steps, seed },
  });
  await service.untilStatus(id, 'PROCESSING', 60_000);
  return id;
}

/** What the simulator has seen of the prompts of one generation, first submission to third. */
function eventsOf(id: string): readonly string[] {
  const prompts = [1, 2, 3].map((submission) => promptIdOf(id, submission));
  return simulator
    .journal()
    .filter(({ promptId }) => promptId !== undefined && prompts.includes(promptId))
    .map(({ event }) => event)
    .filter((event) => ['prompt_queued', 'rendering_started', 'rendering_finished', 'interrupt'].includes(event));
}

const RENDERED_ONCE = ['prompt_queued', 'rendering_started', 'rendering_finished'];

async function watcher(id: string) {
  const { raw } = await service.temporal.workflow.getHandle(`generation/${id}`).describe();
  return raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'awaitCompletion');
}

async function signalsOf(id: string): Promise<readonly (string | null | undefined)[]> {
  const { events } = await service.temporal.workflow.getHandle(`generation/${id}`).fetchHistory();
  return (events ?? []).map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
}

describe.each([
  ['the temporal command', operatorByCommand],
  ['the Web UI', operatorInWebUi],
])('By %s', (_door, operatorOf) => {
  test('a cancel ends as CANCELLED and frees the GPU', async () => {
    const id = await rendering(150);
    await operatorOf(service.namespace).cancel(id);
    await service.untilStatus(id, 'CANCELLED');
    expect(eventsOf(id)).toContain('interrupt');
    await expectAgreement(service, id);
  }, 120_000);

  test('the watching activity is paused, continued and reset while its prompt renders, once and without an interrupt', async () => {
    const operator = operatorOf(service.namespace);
    const id = await rendering(40);
    await operator.pauseActivity(id, 'awaitCompletion');
    await until('it is paused', async () => (await watcher(id))?.paused === true);
    await operator.unpauseActivity(id, 'awaitCompletion');
    await until('it goes on', async () => (await watcher(id))?.paused === false);
    await operator.resetActivity(id, 'awaitCompletion');
    const finished = await service.untilStatus(id, 'COMPLETED', 90_000);
    expect(finished.attempts).toEqual([]);
    expect(eventsOf(id)).toEqual(RENDERED_ONCE);
    await expectAgreement(service, id);
  }, 180_000);

  test('signals that nobody knows, and ours with wrong contents, change nothing', async () => {
    const operator = operatorOf(service.namespace);
    const id = await rendering(40);
    await operator.signal(id, 'faster', { please: true });
    await operator.signal(id, 'started');
    await operator.signal(id, 'started', 'text');
    await operator.signal(id, 'started', { promptId: 'other', startedAtMs: 1 });
    await until('all have arrived', async () => {
      const names = await signalsOf(id);
      return names.includes('faster') && names.filter((name) => name === 'started').length >= 3;
    });
    await service.untilStatus(id, 'COMPLETED', 90_000);
    expect(eventsOf(id)).toEqual(RENDERED_ONCE);
    await expectAgreement(service, id);
  }, 180_000);

  test('a terminate is repaired to CANCELLED, its prompt is removed, and a reset after that is refused', async () => {
    const operator = operatorOf(service.namespace);
    const id = await rendering(150);
    const handle = service.temporal.workflow.getHandle(`generation/${id}`);
    const { runId } = await handle.describe();
    await operator.terminate(id, 'maintenance');
    await service.untilStatus(id, 'CANCELLED');
    await until('the prompt is interrupted', async () => eventsOf(id).includes('interrupt'));
    await expectAgreement(service, id);

    await operator.reset(id, { runId, eventId: 4 });
    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'ALREADY_ENDED' } });
    expect((await service.get(id)).status).toBe('CANCELLED');
    expect(eventsOf(id).filter((event) => event === 'prompt_queued')).toHaveLength(1);
  }, 120_000);
});

test('batches by query reach the generations that they name, and no other', async () => {
  const kept = await rendering(60);
  const batch = ['--reason', 'test', '--yes', '--query'];
  const named = "GenerationStatus = 'QUEUED' AND ExecutionStatus = 'Running'";
  const [waiting, other] = await Promise.all([queued(), queued()]);
  const one = `${named} AND WorkflowId = 'generation/${waiting}'`;
  await until('it can be found', async () => (await service.temporal.workflow.count(one)).count === 1);
  await temporalCommand(service.namespace, 'workflow', 'signal', '--name', 'faster', ...batch, one);
  await temporalCommand(service.namespace, 'workflow', 'cancel', ...batch, one);
  await service.untilStatus(waiting, 'CANCELLED');
  await temporalCommand(service.namespace, 'workflow', 'terminate', ...batch, named);
  await service.untilStatus(other, 'CANCELLED');
  await service.untilStatus(kept, 'COMPLETED', 90_000);
  expect(eventsOf(kept)).toEqual(RENDERED_ONCE);
  for (const id of [kept, waiting, other]) await expectAgreement(service, id);
}, 180_000);

async function queued(): Promise<string> {
  seed += 1;
  const parameters = { prompt: 'a moor', width: 64, height: 64, steps: 150, seed };
  return (await service.submit({ template: 'sd15-text-to-image', parameters })).id;
}
