import { setTimeout as sleep } from 'node:timers/promises';
import { activityInfo, cancellationSignal, log } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import pLimit from 'p-limit';
import type { BackendActivities, SubmitPromptInput, SubmittedPrompt } from '../workflows/contracts/activities.js';
import type { FailureKind } from '../workflows/domain/failure.js';
import type { ApiGraph } from '../workflows/domain/graph.js';
import { heavyModelsOf } from '../workflows/domain/heavy-models.js';
import { inputFilesOf } from '../workflows/domain/input-files.js';
import type { InputFile } from '../workflows/domain/input-files.js';
import { correctGraph } from '../workflows/domain/correct-graph.js';
import { prefixOutputs } from '../workflows/domain/prefix-outputs.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import type { ComfyUIClient } from './comfyui/comfyui-client.js';
import { ComfyUIUnreachableError, PromptRejectedError } from './comfyui/errors.js';
import { explainRejection } from './comfyui/explain-rejection.js';
import type { NodeCatalogue } from './comfyui/node-catalogue.js';
import type { InputFiles } from './comfyui/input-files.js';
import { refuseByCatalogue } from './comfyui/refuse-by-catalogue.js';
import type { GateSwitch } from './comfyui/gate-switch.js';
import { PROMPT_MARKER } from './comfyui/prompt-marker.js';
import type { PromptMarker } from './comfyui/prompt-marker.js';
import type { PromptState } from './comfyui/prompt-state.js';
import { superseded } from './failures/superseded.js';
import type { OperatorRule } from './failures/operator-rules.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import { untilAborted } from './until-aborted.js';
import type { GraphReader } from './storage/graph-reader.js';
import { readClaim } from './storage/claim-record.js';
import type { ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';
import { abortAfter } from '../infra/runtime/abort-after.js';

export interface SubmitPromptDeps {
  readonly backend: ComfyUIBackend;
  readonly store: ObjectStore;
  /** Which the claim has read already. */
  readonly readKeptGraph: GraphReader;
  readonly inputs: InputFiles;
  readonly gate: GateSwitch;
  /** Prompts of everybody that ComfyUI may hold before one more is posted. */
  readonly maxQueued: number;
  /** Of the operators, before the built-in ones. */
  readonly rules: readonly OperatorRule[];
  /** Told that the submission begins; what it answers is called when it is over, with or without a prompt in the queue. */
  readonly claims: { submitting(generationId: string): () => void };
  /** Told what ComfyUI loads with a graph that it has taken. */
  readonly onModels: (models: readonly string[]) => void;
}

/** After a POST whose answer was lost ComfyUI may still be validating: the prompt can appear this much later. */
const GRACE_MS = 5_000;
const GRACE_LOOK_MS = 500;
/** How long a submission waits for others that were posted since the gate looked; then another backend may claim. */
const MAX_WAIT_MS = 20_000;
const WAIT_LOOK_MS = 250;
const CATALOGUE_MS = 5_000;
/** A shorter pause between look and POST is harmless: no backend takes over before both worker timings (8 s at least) pass. */
const PAUSED_MS = 5_000;

export function createSubmitPrompt(deps: SubmitPromptDeps): BackendActivities['submitPrompt'] {
  const { backend, readKeptGraph, claims } = deps;
  // One at a time for each backend: between looking and posting nobody else of ours may post.
  const exclusive = pLimit(1);
  /**
   * Safe to retry: the prompt id follows from generation and submission number, and it is looked for before it is
   * posted, so a prompt that survived a lost answer is found, not queued twice. An attempt that was left behind finds
   * the claim record changed and posts nothing.
   */
  return async function submitPrompt(input) {
    const signal = cancellationSignal();
    const settled = claims.submitting(input.generationId);
    const waitUntilMs = performance.now() + MAX_WAIT_MS;
    try {
      return await heartbeatWhile(async () => {
        const accepted = await readKeptGraph(input.graph);
        const { state, graph, corrections } = await withInputs(deps, { graph: accepted, signal }, async () =>
          exclusive(async () =>
            backend.use(async (client) => {
              const known = await corrected(client, accepted, signal);
              return {
                ...known,
                state: await ensureSubmitted({ ...deps, ...known, client, input, signal, waitUntilMs }),
              };
            }),
          ),
        );
        backend.forecast.submitted(input.promptId, graph); // before the claim stops counting
        deps.onModels(heavyModelsOf(graph));
        const nodeCount = Object.keys(graph).length;
        return { state, nodeCount, ...(corrections.length > 0 && { corrections }) };
      });
    } catch (error) {
      throw toApplicationFailure(error, { rules: deps.rules });
    } finally {
      settled();
    }
  };
}

/** The files first, without holding up others; once more where ComfyUI refuses the graph because they are gone. */
async function withInputs<T>(
  { backend, inputs }: SubmitPromptDeps,
  ...[{ graph, signal }, submit]: [{ readonly graph: ApiGraph; readonly signal: AbortSignal }, () => Promise<T>]
): Promise<T> {
  const files = inputFilesOf(graph);
  const bring = async () => backend.use(async (client) => inputs.bring(client, files, signal));
  await bring();
  try {
    return await submit();
  } catch (error) {
    const missing = error instanceof PromptRejectedError ? files.filter((file) => isNamed(file, error)) : [];
    if (missing.length === 0) throw error;
    log.warn('ComfyUI has lost input files; they are brought again', { files: missing.length });
    inputs.forget(await backend.client(), missing);
    await bring();
    return submit();
  }
}

function isNamed({ filename }: InputFile, { faults }: PromptRejectedError): boolean {
  return faults.some(({ details, receivedValue }) => `${details} ${String(receivedValue)}`.includes(filename));
}

/** R3.4. Without its catalogue ComfyUI itself judges the graph as it is. */
async function corrected(
  client: ComfyUIClient,
  ...[graph, signal]: [ApiGraph, AbortSignal]
): Promise<ReturnType<typeof correctGraph>> {
  try {
    const catalogue = await catalogueOf(client, signal);
    return correctGraph(graph, (classType, input) => catalogue.optionsOf(classType, input));
  } catch (error) {
    signal.throwIfAborted();
    log.warn('The node classes of ComfyUI could not be read; the graph is submitted as it is', { error });
    return { graph, corrections: [] };
  }
}

/** Others wait for this submission: whoever needs longer to say what he offers is not waited for. */
async function catalogueOf(client: ComfyUIClient, signal: AbortSignal): Promise<NodeCatalogue> {
  return abortAfter(CATALOGUE_MS, [signal], async (limited) => untilAborted(limited, client.nodeCatalogue()));
}

interface Submission extends SubmitPromptDeps {
  readonly client: ComfyUIClient;
  readonly input: SubmitPromptInput;
  readonly graph: ApiGraph;
  readonly signal: AbortSignal;
  readonly waitUntilMs: number;
}

async function ensureSubmitted(submission: Submission): Promise<SubmittedPrompt['state']> {
  const { client, input, signal } = submission;
  const known = await untilFree(submission);
  if (known.status !== 'absent') {
    await removeCopies(submission);
    return stateOf(known);
  }
  await refuseIfAgainstRules(submission);
  signal.throwIfAborted();
  const lookedAtMs = performance.now();
  const isCertain = await post(submission);
  try {
    if (!isCertain || activityInfo().attempt > 1) await removeCopies(submission);
    if (performance.now() - lookedAtMs > PAUSED_MS) await takeBackIfLeftBehind(submission);
    return stateOf(await client.promptState(input.promptId, signal));
  } catch (error) {
    // A graph may kill ComfyUI at once. It had the prompt: that is for whoever waits for it to see, and to count as a crash,
    // where another attempt of this activity would only post it again, and again.
    if (!isCertain || signal.aborted || !(error instanceof ComfyUIUnreachableError)) throw error;
    log.warn('ComfyUI has taken the prompt and stopped answering', { promptId: input.promptId, error });
    return 'pending';
  }
}

/** The state of the prompt, once nothing speaks against posting it if it is absent. */
async function untilFree(submission: Submission): Promise<PromptState> {
  const { client, backend, store, gate, maxQueued, input, signal, waitUntilMs } = submission;
  for (;;) {
    const [state, inComfyQueue] = await Promise.all([
      client.promptState(input.promptId, signal),
      client.queueRemaining(signal),
      throwIfLeftBehind(store, backend.backendId, input),
    ]);
    if (state.status !== 'absent') return state;
    if (gate.position === 'closed') throw refused(`The gate of backend ${backend.backendId} is closed`);
    if (inComfyQueue < maxQueued) return state;
    if (performance.now() > waitUntilMs) throw refused(`Others have ${inComfyQueue} prompts in the queue of ComfyUI`);
    await sleep(WAIT_LOOK_MS, undefined, { signal });
  }
}

/** Another backend may claim; here nothing was posted. */
function refused(message: string): ApplicationFailure {
  const type: FailureKind = 'NETWORK_ERROR';
  return ApplicationFailure.create({ type, message, nonRetryable: true });
}

/** The fence of a worker without a database. No record at all says nothing: a store may have been emptied. */
async function throwIfLeftBehind(
  store: ObjectStore,
  ...[backendId, { generationId, submission }]: [string, SubmitPromptInput]
): Promise<void> {
  const claim = await readClaim(store, generationId);
  if (claim === null) return;
  if (claim.ended) throw superseded(`Generation ${generationId} has ended`);
  if (claim.backendId === backendId && claim.submission === submission) return;
  throw superseded(
    `Backend ${claim.backendId} holds submission ${claim.submission}, this is ${submission} on ${backendId}`,
  );
}

/** Fail-closed: without its catalogue nobody knows which nodes of a caller's graph spend money or train models. */
async function refuseIfAgainstRules({ client, backend, graph, input, signal }: Submission): Promise<void> {
  if (input.graphRules === undefined) return;
  const catalogue = await catalogueOf(client, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    log.warn('The node classes of ComfyUI could not be read; a graph of a caller is not submitted', { error });
    throw refused(`Backend ${backend.backendId} does not say which node classes it has (/object_info)`);
  });
  refuseByCatalogue(graph, catalogue, input.graphRules);
}

/** True when ComfyUI said that it has the prompt; false when its answer was lost and the prompt was found. */
async function post(submission: Submission): Promise<boolean> {
  const { client, graph, input, signal } = submission;
  try {
    await client.submit(
      {
        graph: prefixOutputs(graph, input.generationId, input.submission),
        promptId: input.promptId,
        extraData: { [PROMPT_MARKER]: markerOf(input) },
      },
      signal,
    );
  } catch (error) {
    if (error instanceof PromptRejectedError) throw await explained(submission, error);
    if (!(error instanceof ComfyUIUnreachableError) || signal.aborted) throw error;
    await lookAgain(submission, error);
    return false;
  }
  crashPoint('submitPrompt.mid');
  log.info('Submitted a prompt', { promptId: input.promptId, submission: input.submission });
  return true;
}

/** With the catalogue as it is now: what was refused may have been removed since it was read. */
async function explained(
  { client, graph, signal }: Submission,
  error: PromptRejectedError,
): Promise<PromptRejectedError> {
  try {
    return explainRejection(error, { graph, catalogue: await catalogueOf(client, signal) });
  } catch (unreadable) {
    signal.throwIfAborted();
    log.warn('The node classes of ComfyUI could not be read; its refusal is told as it is', { error: unreadable });
    return error;
  }
}

/** ComfyUI never de-duplicates: a POST that was late beside its repetition is a second prompt under the same id. */
async function removeCopies({ client, input, signal }: Submission): Promise<void> {
  const copies = (await client.markedPrompts(signal)).filter(({ promptId }) => promptId === input.promptId);
  for (const { promptId } of copies.slice(1)) {
    log.warn('Removing a second copy of a prompt', { promptId });
    await client.removePending(promptId, signal);
  }
}

async function takeBackIfLeftBehind({ client, store, backend, input }: Submission): Promise<void> {
  try {
    await throwIfLeftBehind(store, backend.backendId, input);
  } catch (error) {
    if (!(error instanceof ApplicationFailure)) throw error;
    await client.stop(input.promptId);
    throw error;
  }
}

function markerOf({ generationId, submission }: SubmitPromptInput): PromptMarker {
  return { generationId, submission };
}

/** The outcome of the POST is unknown: the prompt is looked for until the grace period is over. */
async function lookAgain({ client, input, signal }: Submission, cause: ComfyUIUnreachableError): Promise<void> {
  const deadline = performance.now() + GRACE_MS;
  while (performance.now() < deadline) {
    const { status } = await client.promptState(input.promptId, signal);
    if (status !== 'absent') return;
    await sleep(GRACE_LOOK_MS, undefined, { signal });
  }
  throw cause;
}

/** `finished` for every end: how it ended is for `awaitCompletion` to say. */
function stateOf({ status }: PromptState): SubmittedPrompt['state'] {
  return status === 'running' || status === 'pending' ? status : 'finished';
}
