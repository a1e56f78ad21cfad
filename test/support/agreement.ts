import { expect } from '@jest/globals';
import { generationWorkflowId } from '../../workflows/contracts/generation.js';
import type { Service } from './service.js';
import { until } from './until.js';

/** How the latest run of a Workflow may have closed when the row has this status. */
const CLOSED_AS: Readonly<Record<string, readonly string[]>> = {
  COMPLETED: ['COMPLETED'],
  FAILED: ['FAILED'],
  TIMEOUT: ['FAILED', 'TIMED_OUT'],
  CANCELLED: ['CANCELLED', 'TERMINATED'],
};

/** Waits until the latest run is closed, and compares it with what the API says. */
export async function expectAgreement(service: Service, generationId: string): Promise<void> {
  const handle = service.temporal.workflow.getHandle(generationWorkflowId(generationId));
  const closedAs = await until('the Workflow closes', async () => {
    const { status } = await handle.describe();
    return status.name === 'RUNNING' ? null : status.name;
  });
  const { status } = await service.get(generationId);
  expect(CLOSED_AS[status]).toContain(closedAs);
}
