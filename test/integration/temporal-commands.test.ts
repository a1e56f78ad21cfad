import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { pendingActivityId } from '../support/operators.js';
import { temporalCommand } from '../support/temporal-command.js';
import { until } from '../support/until.js';

const commands = [...new Set(['README.md', 'docs/operating.md'].flatMap(commandsIn))];
let simulator: SimulatorProcess;
let service: Service;
let completedId: string;
let renderingId: string | null = null;
let seed = 0;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.5 });
  service = await startService({
    comfyUrls: [simulator.url],
    env: { BACKEND_ID: 'gpu-1', RECONCILE_INTERVAL_MS: '500' },
  });
  ({ id: completedId } = await service.submit({ template: 'test-card', parameters: {} }));
  await service.untilStatus(completedId, 'COMPLETED', 60_000);
}, 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

test('there are commands to try, and at least 20 that tctl had', () => {
  expect(commands.length).toBeGreaterThan(30);
  expect(
    readFileSync(join(projectRoot, 'docs/operating.md'), 'utf8').match(/^\| `tctl .*`temporal /gm)?.length,
  ).toBeGreaterThan(19);
});

test('R5.8 queries by status return the generations that they name', async () => {
  const { id: failedId } = await service.submit({
    graph: { 1: { class_type: 'SaveImage', inputs: { filename_prefix: 'a' } } },
  });
  await service.untilStatus(failedId, 'FAILED', 60_000);
  const terminatedId = await rendering();
  await service.temporal.workflow.getHandle(`generation/${terminatedId}`).terminate();
  renderingId = null;
  const cancelledId = await waiting();
  // A cancel that comes before the start withdraws it, and then there is nothing to list.
  await until('Temporal knows it', async () =>
    service.temporal.workflow.getHandle(`generation/${cancelledId}`).describe(),
  );
  await service.post(`/v1/generations/${cancelledId}/cancel`);
  await service.untilStatus(cancelledId, 'CANCELLED');

  await untilListed("GenerationStatus = 'FAILED'", [failedId]);
  await untilListed("FailureKind = 'WORKFLOW_ERROR' AND AccountId = 'default'", [failedId]);
  await untilListed("GenerationStatus = 'COMPLETED' AND BackendId = 'gpu-1'", [completedId]);
  await untilListed("GenerationStatus = 'CANCELLED'", [cancelledId]);
  await untilListed("ExecutionStatus = 'Terminated'", [terminatedId]);
  await untilListed("GenerationStatus = 'PROCESSING' AND ExecutionStatus = 'Running'", []);
}, 180_000);

test.each(commands)(
  'the documented command works: %s',
  async (command) => {
    const args = [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)]
      .map(([, ...words]) => words.find(Boolean) ?? '')
      .slice(1);
    const generationId = await fittingGeneration(command);
    const activityId = command.includes('--activity-id')
      ? await pendingActivityId(service.namespace, generationId, 'awaitCompletion')
      : '';
    const here = args.map((arg, index) =>
      args[index - 1] === '--activity-id'
        ? activityId
        : arg.replace(/gen_\S+…/, generationId).replace(/^default$/, service.namespace),
    );
    await temporalCommand(service.namespace, ...here);
  },
  120_000,
);

/** Commands for what is under way get something that is; those that look get what has ended. */
async function fittingGeneration(command: string): Promise<string> {
  if (!command.includes('gen_')) return '';
  if (/^temporal (activity|workflow (signal|stack))/.test(command)) return rendering();
  return /workflow (cancel|terminate)/.test(command) ? waiting() : completedId;
}

/** One that renders; the same for as long as it does. */
async function rendering(): Promise<string> {
  if (renderingId !== null && (await service.get(renderingId)).status === 'PROCESSING') return renderingId;
  renderingId = await waiting();
  await service.untilStatus(renderingId, 'PROCESSING', 60_000);
  return renderingId;
}

/** One that waits or renders. */
async function waiting(): Promise<string> {
  seed += 1;
  const parameters = { prompt: 'a pier', width: 64, height: 64, steps: 150, seed };
  return (await service.submit({ template: 'sd15-text-to-image', parameters })).id;
}

/** Visibility is a little late. */
async function untilListed(query: string, ids: readonly string[]): Promise<void> {
  const expected = JSON.stringify(ids.map((id) => `generation/${id}`));
  await until(`${query} lists ${expected}`, async () => {
    const text = await temporalCommand(service.namespace, 'workflow', 'list', '--output', 'json', '--query', query);
    const found = JSON.parse(text) as readonly { readonly execution: { readonly workflowId: string } }[];
    return JSON.stringify(found.map(({ execution }) => execution.workflowId)) === expected;
  });
}

/** From code blocks and from tables. */
function commandsIn(document: string): readonly string[] {
  const text = readFileSync(join(projectRoot, document), 'utf8');
  const inBlocks = [...text.matchAll(/^temporal .+$/gm)].map(([line]) => line);
  const inTables = [...text.matchAll(/`(temporal [a-z][^`]+)`/g)].map(([, command]) => command ?? '');
  return [...inBlocks, ...inTables];
}
