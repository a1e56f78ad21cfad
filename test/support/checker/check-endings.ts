import type { WorkflowExecutionStatusName } from '@temporalio/client';
import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { CheckedGeneration, Evidence, Violation } from './check-invariants.js';

/** How Temporal closes a generation of each status; an operator's terminate is recorded as CANCELLED. */
const CLOSED_AS: Readonly<Record<string, readonly WorkflowExecutionStatusName[]>> = {
  COMPLETED: ['COMPLETED'],
  FAILED: ['FAILED'],
  TIMEOUT: ['FAILED'],
  CANCELLED: ['CANCELLED', 'TERMINATED'],
};

/** How much later than its deadline a generation may end: what it left on a GPU is stopped first. */
const AFTER_DEADLINE_MS = 60_000;

/** I1: every accepted generation is in one terminal state, in time, and Temporal says the same. */
export async function checkEndings(evidence: Evidence): Promise<readonly Violation[]> {
  const found = await Promise.all(evidence.generations.map(async (generation) => checkEnding(evidence, generation)));
  return found.filter((violation) => violation !== null);
}

async function checkEnding({ temporal }: Evidence, generation: CheckedGeneration): Promise<Violation | null> {
  const { id, status, created_at: createdAt, finished_at: finishedAt, limit_seconds: limitSeconds } = generation;
  const expected = CLOSED_AS[status];
  if (expected === undefined || finishedAt === null) return `I1 ${id} has not ended: it is ${status}`;
  const tookMs = finishedAt.getTime() - createdAt.getTime();
  if (tookMs > limitSeconds * 1_000 + AFTER_DEADLINE_MS)
    return `I1 ${id} ended after ${tookMs} ms, its deadline was ${limitSeconds} s`;
  const handle = temporal.workflow.getHandle(`generation/${id}`);
  try {
    const { name } = (await handle.describe()).status;
    if (expected.includes(name)) return null;
    if (name === 'FAILED' && (await failureTypeOf(handle.result())) === 'ALREADY_ENDED') return null; // a late reset
    return `I1 ${id} is ${status}, but its Workflow is ${name}`;
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    return status === 'CANCELLED' ? null : `I1 ${id} is ${status} without a Workflow`; // withdrawn before it was started
  }
}

async function failureTypeOf(result: Promise<unknown>): Promise<string | null> {
  try {
    await result;
    return null;
  } catch (error) {
    const cause = error instanceof WorkflowFailedError ? error.cause : null;
    return cause instanceof ApplicationFailure ? (cause.type ?? null) : null;
  }
}
