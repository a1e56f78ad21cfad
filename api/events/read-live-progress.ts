import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload } from '@temporalio/common';
import { z } from 'zod';
import type { Logger } from '../../infra/runtime/logger.js';
import { generationWorkflowId } from '../../workflows/contracts/generation.js';
import type { FalProgress } from '../../workflows/contracts/fal.js';
import type { RenderingHeartbeat } from '../../workflows/contracts/generation.js';
import { withDeadline } from '../with-deadline.js';
import type { ProgressView } from '../schemas/generation-view.js';
import type { LiveProgress, ReadLiveProgress } from './progress-watcher.js';

/** A GET waits for Temporal at most this long. */
const DEADLINE_MS = 1_000;
/** After a failure Temporal is left alone for a moment. */
const PAUSE_AFTER_FAILURE_MS = 3_000;

const NOTHING: LiveProgress = { progress: null, runId: null };

/** What only workers need is left out. */
const heartbeatSchema: z.ZodType<Omit<RenderingHeartbeat, 'canary' | 'isBehindAnother'>> = z.object({
  promptId: z.string(),
  state: z.enum(['pending', 'running']),
  nodeId: z.string().nullable(),
  step: z.number().nullable(),
  steps: z.number().nullable(),
  percent: z.number(),
  runningSinceMs: z.number().nullable(),
});

const falProgressSchema: z.ZodType<FalProgress> = z.object({
  requestId: z.string(),
  phase: z.enum(['queued', 'running', 'unreachable']),
  queuePosition: z.int().nullable(),
  lastLog: z.string().nullable(),
});

/** Models on fal.ai tell no steps. */
const NO_STEPS = { percent: 0, node: null, step: null, steps: null } as const;

/** Reads the heartbeat of the rendering activity. Never fails: a generation is shown without progress then. */
export function createReadLiveProgress(deps: { readonly temporal: Client; readonly logger: Logger }): ReadLiveProgress {
  let failedAt = 0;
  return async function readLiveProgress(generationId) {
    if (Date.now() - failedAt < PAUSE_AFTER_FAILURE_MS) return NOTHING;
    try {
      return await withDeadline(DEADLINE_MS, describe(deps.temporal, generationId));
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return NOTHING; // this one is gone; Temporal is there
      failedAt = Date.now();
      deps.logger.warn({ err: error, generationId }, 'Live progress could not be read');
      return NOTHING;
    }
  };
}

async function describe(temporal: Client, generationId: string): Promise<LiveProgress> {
  const { runId, raw } = await temporal.workflow.getHandle(generationWorkflowId(generationId)).describe();
  const details = (raw.pendingActivities ?? []).flatMap(({ heartbeatDetails }) => heartbeatDetails?.payloads ?? []);
  return { progress: details.map(progressOf).find((candidate) => candidate !== null) ?? null, runId };
}

/** `null` for the heartbeat of an activity that renders nothing. */
function progressOf(payload: Payload): ProgressView | null {
  const details: unknown = defaultPayloadConverter.fromPayload(payload);
  const rendering = heartbeatSchema.safeParse(details).data;
  if (rendering !== undefined) {
    const { percent, nodeId: node, step, steps } = rendering;
    return { percent: Math.min(100, Math.max(0, percent)), node, step, steps, queuePosition: null };
  }
  const onFal = falProgressSchema.safeParse(details).data;
  return onFal === undefined ? null : { ...NO_STEPS, queuePosition: onFal.queuePosition };
}
