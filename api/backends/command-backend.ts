import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import {
  OPERATE_BACKEND,
  backendWorkflowId,
  drainSignal,
  quarantineSignal,
  resumeSignal,
} from '../../workflows/contracts/backend.js';
import { GENERATION_TASK_QUEUE } from '../../workflows/contracts/task-queues.js';
import { gateWishOf } from '../../workflows/domain/backend-gate.js';
import type { operateBackend } from '../../workflows/operate-backend.js';
import { ProblemError } from '../problem-error.js';
import type { BackendDirectory } from './backend-directory.js';

export type BackendCommand =
  { readonly command: 'drain' | 'resume' } | { readonly command: 'quarantine'; readonly reason: string | null };

/** Tells the Workflow of a backend; resolves when Temporal has taken it down, and it will be carried out. */
export type CommandBackend = (backendId: string, command: BackendCommand) => Promise<void>;

const SIGNALS = { drain: drainSignal, resume: resumeSignal, quarantine: quarantineSignal } as const;
const DEADLINE_MS = 4_000;
/** What a worker can have taken for its id; anything else is not worth a question. */
const BACKEND_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,70}$/;

export function createCommandBackend(deps: {
  readonly temporal: Client;
  readonly directory: BackendDirectory;
}): CommandBackend {
  const { temporal, directory } = deps;
  return async function commandBackend(backendId, command) {
    if (BACKEND_ID.test(backendId) && (await isSignalled(temporal, backendId, command))) return;
    const known = (await directory.backends()).filter(({ isFresh }) => isFresh).map((backend) => backend.backendId);
    if (!known.includes(backendId)) throw notFound(known);
    await startSignalled(temporal, backendId, command);
  };
}

function signalOf(command: BackendCommand): readonly [name: string, ...args: string[]] {
  const reason = command.command === 'quarantine' ? command.reason : null;
  return [SIGNALS[command.command].name, ...(reason === null ? [] : [reason])];
}

/** False when the backend has no Workflow. */
async function isSignalled(temporal: Client, backendId: string, command: BackendCommand): Promise<boolean> {
  const handle = temporal.workflow.getHandle(backendWorkflowId(backendId));
  try {
    await temporal.withDeadline(Date.now() + DEADLINE_MS, async () => handle.signal(...signalOf(command)));
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw unavailable(error);
  }
}

/** For a worker that is alive and whose Workflow was ended a moment ago: it finds the new one. */
async function startSignalled(temporal: Client, backendId: string, command: BackendCommand): Promise<void> {
  const [signal, ...signalArgs] = signalOf(command);
  try {
    await temporal.withDeadline(Date.now() + DEADLINE_MS, async () =>
      temporal.workflow.signalWithStart<typeof operateBackend, string[]>(OPERATE_BACKEND, {
        workflowId: backendWorkflowId(backendId),
        taskQueue: GENERATION_TASK_QUEUE,
        args: [{ backendId, gate: gateWishOf('open'), holder: null, summary: null }],
        staticSummary: `Backend ${backendId}`,
        signal,
        signalArgs,
      }),
    );
  } catch (error) {
    throw unavailable(error);
  }
}

function notFound(known: readonly string[]): ProblemError {
  const list = known.length === 0 ? 'No GPU worker reports a backend now.' : `Known: ${known.join(', ')}.`;
  return new ProblemError('backend_not_found', `No backend has this id. ${list}`);
}

function unavailable(cause: unknown): ProblemError {
  const headers = { 'Retry-After': '5' };
  return new ProblemError('temporal_unavailable', 'Temporal could not be told.', { headers, cause });
}
