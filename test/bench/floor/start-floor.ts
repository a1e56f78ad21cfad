import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { nodeChildSpec } from '../../../infra/embedded/node-child.js';
import { supervise } from '../../../infra/embedded/processes/supervise.js';
import { untilAnswers } from '../../../infra/embedded/until-answers.js';
import type { BenchServers } from '../bench-stack.js';
import type { BenchRun } from '../section.js';
import type { FloorInput } from './contract.js';
import type { floor } from './workflow.js';
import { abortAfter } from '../../../infra/runtime/abort-after.js';

const USABLE_WITHIN_MS = 60_000;

export interface Floor {
  readonly temporal: Client;
  /** Runs one bare Workflow on the backend of this number, to its end; answers its Workflow Id. */
  readonly runFloor: (backend: number) => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** Bare Workflows with empty activities on queues of the same names, in a namespace of their own. */
export async function startFloor(
  { env, context, temporal }: BenchServers,
  run: BenchRun,
  backends: number,
): Promise<Floor> {
  const namespace = `floor-${backends}`;
  await temporal.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: msToTs('24 hours'),
  });
  const client = new Client({ connection: temporal.connection, namespace });
  await abortAfter(USABLE_WITHIN_MS, [run.signal], async (signal) =>
    untilAnswers(async () => void (await client.workflow.count()), signal),
  );
  const entry = join(import.meta.dirname, 'main.js');
  const settings = { FLOOR_NAMESPACE: namespace, FLOOR_BACKENDS: `${backends}` };
  const worker = supervise(nodeChildSpec({ name: 'floor', entry, args: [], env: settings }, env), context);
  run.resources.add('floor', () => worker.stop());
  await worker.ready;
  return {
    temporal: client,
    async runFloor(backend) {
      const workflowId = `floor/${randomUUID()}`;
      const args: [FloorInput] = [{ backendId: `backend-${backend + 1}` }];
      await client.workflow.execute<typeof floor>('floor', { taskQueue: 'generation', workflowId, args });
      return workflowId;
    },
    stop: () => worker.stop(),
  };
}
