import { WorkflowFailedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { FailureRecord, RecordOutcomeInput } from '../workflows/contracts/activities.js';
import { generationWorkflowId } from '../workflows/contracts/generation.js';
import { assertNever } from '../workflows/domain/assert-never.js';
import { isFailureKind } from '../workflows/domain/failure.js';
import type { generateMedia } from '../workflows/generate-media.js';
import type { ClosedStatus } from './latest-run.js';

/** What a Workflow that closed without its outcome being recorded means for its generation. */
export interface ClosedOutcome extends Pick<RecordOutcomeInput, 'status' | 'outputs' | 'failure'> {
  /** Why, where there is no failure that says it. */
  readonly note?: string;
}

interface ClosedRun {
  readonly runId: string;
  readonly closedAs: ClosedStatus;
}

const TEMPORAL_DEADLINE_MS = 5_000;

/**
 * COMPLETED with the outputs that the Workflow answered with; FAILED and TIMEOUT with its failure; CANCELLED after a
 * cancel and also after a terminate: whoever terminates wants it to be over, and nothing has failed.
 */
export async function closedOutcome(client: Client, generationId: string, run: ClosedRun): Promise<ClosedOutcome> {
  switch (run.closedAs) {
    case 'COMPLETED':
    case 'FAILED':
      return client.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, async () => resultOf(client, generationId, run));
    case 'CANCELLED':
      return { status: 'CANCELLED', outputs: [], failure: null, note: 'Cancelled in Temporal' };
    case 'TERMINATED':
      return { status: 'CANCELLED', outputs: [], failure: null, note: await terminationOf(client, generationId, run) };
    case 'TIMED_OUT':
      return { status: 'TIMEOUT', outputs: [], failure: failureOf('TIMEOUT', 'Temporal timed the Workflow out') };
    default:
      return assertNever(run.closedAs);
  }
}

async function resultOf(client: Client, generationId: string, { runId }: ClosedRun): Promise<ClosedOutcome> {
  const options = { followRuns: false };
  const handle = client.workflow.getHandle<typeof generateMedia>(generationWorkflowId(generationId), runId, options);
  try {
    const { outputs } = await handle.result();
    if (outputs.length > 0) return { status: 'COMPLETED', outputs, failure: null };
    const detail = 'The Workflow completed without an output';
    return { status: 'FAILED', outputs: [], failure: failureOf('UNEXPECTED', detail) };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const failure = failureRecordOf(error.cause);
    return { status: failure.kind === 'TIMEOUT' ? 'TIMEOUT' : 'FAILED', outputs: [], failure };
  }
}

function failureRecordOf(cause: Error | undefined): FailureRecord {
  const detail = cause?.message ?? 'The Workflow failed';
  if (!(cause instanceof ApplicationFailure) || !isFailureKind(cause.type)) return failureOf('UNEXPECTED', detail);
  const facts: unknown = cause.details?.[0];
  return { kind: cause.type, detail, facts: isRecord(facts) ? facts : {} };
}

function failureOf(kind: FailureRecord['kind'], detail: string): FailureRecord {
  return { kind, detail, facts: {} };
}

/** The last event of a terminated run says who terminated it and why. */
async function terminationOf(client: Client, generationId: string, { runId }: ClosedRun): Promise<string> {
  const { history } = await client.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, async () =>
    client.workflowService.getWorkflowExecutionHistoryReverse({
      namespace: client.options.namespace,
      execution: { workflowId: generationWorkflowId(generationId), runId },
      maximumPageSize: 1,
    }),
  );
  const terminated = history?.events?.[0]?.workflowExecutionTerminatedEventAttributes;
  const reason = terminated?.reason ?? '';
  return reason === '' ? 'Terminated in Temporal' : `Terminated in Temporal: ${reason}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
