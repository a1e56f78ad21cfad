import { activityInfo, cancellationSignal, log } from '@temporalio/activity';
import type { BackendClaim, ClaimActivities, DiscoverBackendInput } from '../workflows/contracts/activities.js';
import type { GraphReference } from '../workflows/contracts/generation.js';
import { backendTaskQueue } from '../workflows/contracts/task-queues.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { promptIdOf } from './comfyui/prompt-id.js';
import { alreadyEnded } from './failures/already-ended.js';
import { refusedClaim } from './failures/refused-claim.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import type { LateAttempt } from './late-attempt.js';
import { graphForClaim, leftToOther } from './leave-to-other.js';
import type { GraphReader } from './storage/graph-reader.js';
import { untilAborted } from './until-aborted.js';
import { readBackendReport } from './storage/backend-reports.js';
import type { ClaimRecord } from './storage/claim-record.js';
import { changeClaim, openClaim } from './storage/claim-record.js';
import type { ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface DiscoverBackendDeps {
  readonly backend: ComfyUIBackend;
  readonly store: ObjectStore;
  readonly readKeptGraph: GraphReader;
  readonly pool: string;
  /** The gate that let the claim through. */
  readonly slots: {
    /** Why the gate would be shut to the claim by now, `null` when it would not. */
    refusal(inComfyQueue: number): string | null;
    /** Told of a claim before it is answered, so that it counts until the prompt is in ComfyUI's queue. */
    claimed(generationId: string): void;
  };
  readonly late: Pick<LateAttempt, 'ensureCurrent'>;
}

export function createDiscoverBackend(deps: DiscoverBackendDeps): ClaimActivities['discoverBackend'] {
  /**
   * Safe to retry: the claim record is changed by compare-and-set, and an open record of this backend whose prompt lives
   * is adopted. A retry may land on another backend, which then holds the claim under a higher number. After a reset the
   * claim stays where the run before it has put it, and the answer leads there: a prompt that renders is not rendered twice.
   */
  return async function discoverBackend(input) {
    try {
      const signal = cancellationSignal();
      return await heartbeatWhile(async () => untilAborted(signal, claim(deps, input)));
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

async function claim(deps: DiscoverBackendDeps, input: DiscoverBackendInput): Promise<BackendClaim> {
  const { backend, store, slots, late } = deps;
  const { generationId } = input;
  const { backendId } = backend;
  if (input.avoid.includes(backendId)) throwIfRefused(`Generation ${generationId} has failed on ${backendId} before`);
  const { runId } = activityInfo().workflowExecution ?? {};
  // The gate let this through on an older look: where that no longer holds it fails fast, and another may claim.
  throwIfRefused(slots.refusal(0));
  const reading = graphForClaim(deps.readKeptGraph, input.graph); // meanwhile
  const inComfyQueue = await backend.use(async (client) => client.queueRemaining());
  let decision: BackendClaim['decision'] = 'new';
  // Where a new claim is refused only what stands in the record can still be adopted.
  const isProbablyNew =
    input.lastSubmission === 0 && activityInfo().attempt === 1 && slots.refusal(inComfyQueue) === null;
  const decide = async (current: ClaimRecord | null): Promise<ClaimRecord | null> => {
    cancellationSignal().throwIfAborted(); // nor may one that was cancelled move the fence
    await late.ensureCurrent();
    if (current?.ended === true) throw alreadyEnded(generationId);
    const isHeld = isHeldElsewhere(current, { input, backendId, runId });
    decision = isHeld || (await isAlive(backend, input, current)) ? 'adopt' : 'new';
    if (decision === 'adopt') return null; // its prompt is one of those in the queue
    throwIfRefused(slots.refusal(inComfyQueue));
    throwIfRefused(await leftToOther(deps, input, await reading));
    return {
      submission: (current?.submission ?? 0) + 1,
      backendId,
      ended: false,
      runId,
      graphSha256: input.graph.sha256,
    };
  };
  const record = await (isProbablyNew ? openClaim : changeClaim)(store, generationId, decide);
  const submission = record?.submission ?? 0;
  if (record !== null && record.backendId !== backendId) return claimOf(store, generationId, record);
  slots.claimed(generationId);
  crashPoint('discoverBackend.mid');
  const inherited = decision === 'new' ? await finishedPromptOf(backend, input) : null;
  if (inherited !== null) decision = 'adopt';
  log.info('Claimed a generation', { submission, decision, backendId });
  return {
    backendId,
    taskQueue: backendTaskQueue(backendId),
    submission,
    promptId: inherited ?? promptIdOf(generationId, submission),
    decision,
    device: backend.snapshot().found?.device ?? 'gpu',
  };
}

/** After a reset: the claim of the run before, on a backend that this run has not asked yet. */
function isHeldElsewhere(
  record: ClaimRecord | null,
  asker: { readonly input: DiscoverBackendInput; readonly backendId: string; readonly runId: string | undefined },
): boolean {
  if (record === null || record.backendId === asker.backendId) return false;
  if (rendersAnother(record, asker.input.graph)) return false;
  return record.runId !== undefined && record.runId !== asker.runId && record.submission > asker.input.lastSubmission;
}

/** A recovery had changed the graph, or a part of the batch was rendered; claims of earlier versions do not say. */
function rendersAnother({ graphSha256 }: ClaimRecord, wanted: GraphReference): boolean {
  return graphSha256 !== undefined && graphSha256 !== wanted.sha256;
}

/** That of the generation that this one repeats, when it has finished here since; nobody could look before. */
async function finishedPromptOf(
  backend: ComfyUIBackend,
  { inheritedPrompt: prompt, graph }: DiscoverBackendInput,
): Promise<string | null> {
  if (prompt?.backendId !== backend.backendId || prompt.graphSha256 !== graph.sha256) return null;
  const { status } = await backend.use(async (client) => client.promptState(prompt.promptId));
  return status === 'succeeded' ? prompt.promptId : null;
}

/** The claim that another backend holds. */
async function claimOf(store: ObjectStore, generationId: string, record: ClaimRecord): Promise<BackendClaim> {
  const { submission, backendId } = record;
  log.info('The generation is claimed by another backend', { submission, backendId });
  const report = await readBackendReport(store, backendId);
  return {
    backendId,
    taskQueue: backendTaskQueue(backendId),
    submission,
    promptId: promptIdOf(generationId, submission),
    decision: 'adopt',
    device: report?.device ?? 'gpu',
  };
}

function throwIfRefused(message: string | null): void {
  if (message !== null) throw refusedClaim(message);
}

/** True when the prompt of an open record of this backend renders the same graph, and still runs, waits or has succeeded. */
async function isAlive(
  backend: ComfyUIBackend,
  { generationId, endedSubmissions, graph }: DiscoverBackendInput,
  record: ClaimRecord | null,
): Promise<boolean> {
  if (record?.backendId !== backend.backendId || endedSubmissions.includes(record.submission)) return false;
  const promptId = promptIdOf(generationId, record.submission);
  if (rendersAnother(record, graph)) {
    await backend.use(async (client) => client.stop(promptId)); // of the run before a reset: at most one may live
    return false;
  }
  const { status } = await backend.use(async (client) => client.promptState(promptId));
  return status === 'pending' || status === 'running' || status === 'succeeded';
}
