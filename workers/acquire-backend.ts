import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WithStartWorkflowOperation, WorkflowUpdateFailedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import { untilAborted } from '../activities/until-aborted.js';
import {
  BACKEND_HELD,
  OPERATE_BACKEND,
  acquireUpdate,
  backendWorkflowId,
  silenceSecondsOf,
} from '../workflows/contracts/backend.js';
import type { AcquiredBackend, BackendHolder } from '../workflows/contracts/backend.js';
import { GENERATION_TASK_QUEUE } from '../workflows/contracts/task-queues.js';
import { gateWishOf } from '../workflows/domain/backend-gate.js';
import type { GatePosition } from '../workflows/domain/backend-gate.js';
import type { operateBackend } from '../workflows/operate-backend.js';
import { ConfigError } from '../infra/runtime/env.js';
import type { Logger } from '../infra/runtime/logger.js';
import { isKnownToBeDead } from './this-process.js';
import { WaitingNotice } from './waiting-notice.js';

export interface AcquireOptions {
  readonly client: Client;
  readonly backendId: string;
  readonly holder: BackendHolder;
  /** For a Workflow that is started anew: where this worker's gate stands. */
  readonly gate: GatePosition;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Told each time that another process turns out to hold the id. */
  readonly onHeld?: () => void;
}

/** An Update waits for a worker with the role `control`; it is asked anew this often. */
const ASK_MS = 5_000;
const PAUSE_MS = 1_000;
/** Added to the holder's silence before it counts as alive: Temporal's timers may be a second or two late. */
const REFUSED_AFTER_SILENCE_MS = 5_000;

type Answer =
  | { readonly kind: 'acquired'; readonly acquired: AcquiredBackend }
  | { readonly kind: 'held'; readonly holder: BackendHolder }
  | { readonly kind: 'unanswered'; readonly error: unknown };

/**
 * Makes this process the one that works for a backend id. While another holder is there it waits for as long as a dead
 * one would still count, except where the other process is seen to be dead: that one is replaced at once, so that a
 * worker that was killed is back in seconds. Throws `ConfigError` when the other one is alive.
 */
export async function acquireBackend(options: AcquireOptions): Promise<AcquiredBackend> {
  const { backendId, logger, signal, onHeld } = options;
  const notice = new WaitingNotice(logger);
  const updateId = randomUUID(); // one for all tries: an Update whose answer was lost is not done twice
  let replaces: string | null = null;
  let heldSinceMs: number | null = null;
  for (;;) {
    const answer: Answer = await untilAborted(signal, ask(options, { updateId, replaces }));
    if (answer.kind === 'acquired') return answer.acquired;
    if (answer.kind === 'unanswered') {
      heldSinceMs = null; // a holder that died meanwhile could not be found out
      notice.say({ backendId, err: answer.error }, 'Waiting for Temporal and a control worker to acquire the backend');
    } else {
      onHeld?.();
      const inTheWay: BackendHolder = answer.holder;
      if (inTheWay.holderId !== replaces && isKnownToBeDead(inTheWay)) {
        replaces = inTheWay.holderId;
        logger.info({ backendId, pid: inTheWay.pid }, 'Taking the backend over from a process that has ended');
        continue;
      }
      heldSinceMs ??= performance.now();
      const refusedAfterMs = silenceSecondsOf(inTheWay) * 1_000 + REFUSED_AFTER_SILENCE_MS;
      if (performance.now() - heldSinceMs > refusedAfterMs) throw refused(backendId, inTheWay);
      const { pid, host, since } = inTheWay;
      notice.say({ backendId, pid, host, since }, 'Another process holds this backend; waiting for its end');
    }
    await sleep(PAUSE_MS, undefined, { signal });
  }
}

async function ask(
  { client, backendId, holder, gate }: AcquireOptions,
  { updateId, replaces }: { readonly updateId: string; readonly replaces: string | null },
): Promise<Answer> {
  const startWorkflowOperation = new WithStartWorkflowOperation<typeof operateBackend>(OPERATE_BACKEND, {
    workflowId: backendWorkflowId(backendId),
    taskQueue: GENERATION_TASK_QUEUE,
    workflowIdConflictPolicy: 'USE_EXISTING',
    args: [{ backendId, gate: gateWishOf(gate), holder: null, summary: null }],
    staticSummary: `Backend ${backendId}`,
  });
  const update = { updateId, startWorkflowOperation };
  try {
    const acquired = await client.withDeadline(Date.now() + ASK_MS, async () =>
      client.workflow.executeUpdateWithStart(acquireUpdate, { ...update, args: [{ holder, replaces }] }),
    );
    return { kind: 'acquired', acquired };
  } catch (error) {
    const inTheWay = holderNamedBy(error);
    return inTheWay === null ? { kind: 'unanswered', error } : { kind: 'held', holder: inTheWay };
  }
}

const holderSchema: z.ZodType<BackendHolder> = z.object({
  holderId: z.string(),
  host: z.string(),
  pid: z.number(),
  place: z.string(),
  processStartedAt: z.string(),
  since: z.string(),
  silenceSeconds: z.number().optional(),
});

/** Who was named when the Update was refused; `null` when it failed in another way. */
function holderNamedBy(error: unknown): BackendHolder | null {
  const cause = error instanceof WorkflowUpdateFailedError ? error.cause : null;
  if (!(cause instanceof ApplicationFailure) || cause.type !== BACKEND_HELD) return null;
  return holderSchema.safeParse(cause.details?.[0]).data ?? null;
}

function refused(backendId: string, { pid, host, since }: BackendHolder): ConfigError {
  return new ConfigError(
    `The backend id "${backendId}" belongs to process ${pid} on ${host}, which has held it since ${since} and is alive. ` +
      'Stop that process, or set BACKEND_ID to another name for this ComfyUI.',
  );
}
