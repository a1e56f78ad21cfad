import type { Blob } from 'node:buffer';
import { FormData } from 'undici';
import { z } from 'zod';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { INPUT_SUBFOLDER } from '../../workflows/domain/input-files.js';
import type { ComfyUIAddress } from './comfyui-address.js';
import { createComfyUIHttp } from './comfyui-http.js';
import type { ComfyUIAnswer, ComfyUIHttp, ComfyUIRequest } from './comfyui-http.js';
import { ComfyUIHttpError, InputRefusedError, NotComfyUIError, PromptRejectedError } from './errors.js';
import { nodeCatalogueFrom } from './node-catalogue.js';
import type { NodeCatalogue } from './node-catalogue.js';
import { nodeFaultsOf } from './node-faults.js';
import { PROMPT_MARKER, promptMarkerSchema } from './prompt-marker.js';
import type { PromptMarker } from './prompt-marker.js';
import { finishedStateOf } from './prompt-state.js';
import type { PromptState } from './prompt-state.js';

/** A look is answered from memory; longer silence is a blocked event loop, and the look is repeated. */
const LOOK_MS = 15_000;
/** Validation runs inside `POST /prompt` and may touch disks (VALIDATE_INPUTS of custom nodes). */
const SUBMIT_MS = 60_000;
/** `/object_info` runs code of custom nodes, and blocks the event loop while it does. */
const OBJECT_INFO_MS = 60_000;
/** Where that fails it is not asked for at every submission. */
const CATALOGUE_PAUSE_MS = 60_000;
/** 100 MB at 350 kB/s. */
const UPLOAD_MS = 300_000;

export interface SubmittedGraph {
  readonly graph: ApiGraph;
  readonly promptId: string;
  readonly extraData: Readonly<Record<string, unknown>>;
}

/** A prompt in ComfyUI's queue that says which generation it renders. */
export interface MarkedPrompt extends PromptMarker {
  readonly promptId: string;
}

/** ComfyUI's REST routes, each under `/api` (proxies route on it), foreign names translated here and nowhere else. */
export interface ComfyUIClient {
  readonly address: ComfyUIAddress;
  readonly http: ComfyUIHttp;
  /** Prompts that run or wait: the cheapest question there is. */
  queueRemaining(signal?: AbortSignal): Promise<number>;
  /** Of the first device; `null` where it does not say. */
  vramFreeBytes(signal?: AbortSignal): Promise<number | null>;
  promptState(promptId: string, signal?: AbortSignal): Promise<PromptState>;
  /** The prompt that ended last, of whomever; `null` when its history is empty. */
  lastFinished(signal?: AbortSignal): Promise<string | null>;
  /** What `/object_info` says, read once for this client; a refusal lets it be read again, because models are copied in. */
  nodeCatalogue(): Promise<NodeCatalogue>;
  /** Queues a graph under our own prompt id. Throws `PromptRejectedError` when any part of the graph is refused. */
  submit(prompt: SubmittedGraph, signal?: AbortSignal): Promise<void>;
  /** Prompts that run or wait and carry our marker, whichever installation of ours submitted them. */
  markedPrompts(signal?: AbortSignal): Promise<readonly MarkedPrompt[]>;
  /**
   * Takes a prompt out of the queue, or asks it to stop while it runs; hits no other, and is no error when there is
   * nothing to stop. Only the next look says what came of it: a request that arrives too early is lost.
   */
  stop(promptId: string, signal?: AbortSignal): Promise<void>;
  /** Takes a pending prompt out of the queue; does nothing to a running or unknown one. */
  removePending(promptId: string, signal?: AbortSignal): Promise<void>;
  /** Writes a file below the input folder, over one of the same name. Throws `InputRefusedError`. */
  uploadInput(file: { readonly filename: string; readonly bytes: Blob }, signal?: AbortSignal): Promise<void>;
  /** Models are unloaded and caches emptied before the next prompt; what runs now is not disturbed. */
  freeMemory(frees: 'models' | 'all', signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const queueRemainingSchema = z.object({ exec_info: z.object({ queue_remaining: z.number() }) });
const vramSchema = z.object({ devices: z.array(z.object({ vram_free: z.number().nullish() })) });
const queueItemSchema = z.tuple([z.number(), z.string()], z.unknown());
const markedItemSchema = z.tuple(
  [z.number(), z.string(), z.unknown(), z.looseObject({ [PROMPT_MARKER]: promptMarkerSchema })],
  z.unknown(),
);
const queueSchema = z.object({ queue_running: z.array(queueItemSchema), queue_pending: z.array(queueItemSchema) });
const historySchema = z.record(z.string(), z.unknown());
const jobSchema = z.looseObject({
  status: z.string(),
  outputs: z.unknown().optional(),
  execution_status: z.unknown().optional(),
});
const jobAbsentSchema = z.object({ error: z.string() });
const cancelledSchema = z.object({ cancelled: z.boolean() });
const uploadedSchema = z.object({ name: z.string(), subfolder: z.string() });
const submittedSchema = z.object({ prompt_id: z.string(), node_errors: z.unknown().optional() });
const rejectedSchema = z.object({
  error: z.object({
    type: z.string(),
    message: z.string(),
    details: z.string().default(''),
    extra_info: z.looseObject({ class_type: z.string().nullish() }).optional(),
  }),
  node_errors: z.unknown().optional(),
});

export function createComfyUIClient(address: ComfyUIAddress): ComfyUIClient {
  const http = createComfyUIHttp(address);
  let catalogue: Promise<NodeCatalogue> | null = null;
  let readableAgainAtMs = 0;
  return {
    address,
    http,
    async queueRemaining(signal) {
      const answer = await http.json({ path: '/api/prompt', signal, totalMs: LOOK_MS });
      return parsed(queueRemainingSchema, answer, '/api/prompt').exec_info.queue_remaining;
    },
    async vramFreeBytes(signal) {
      const answer = await http.json({ path: '/api/system_stats', signal, totalMs: LOOK_MS });
      return parsed(vramSchema, answer, '/api/system_stats').devices[0]?.vram_free ?? null;
    },
    async markedPrompts(signal) {
      const answer = await http.json({ path: '/api/queue', signal, totalMs: LOOK_MS });
      const queue = parsed(queueSchema, answer, '/api/queue');
      return [...queue.queue_running, ...queue.queue_pending].flatMap((item) => {
        const marked = markedItemSchema.safeParse(item).data;
        return marked === undefined ? [] : [{ promptId: marked[1], ...marked[3][PROMPT_MARKER] }];
      });
    },
    async lastFinished(signal) {
      const path = '/api/history';
      const query = { max_items: '1' }; // the newest
      const history = parsed(historySchema, await http.json({ path, query, signal, totalMs: LOOK_MS }), path);
      return Object.keys(history)[0] ?? null;
    },
    promptState: async (promptId, signal) => promptState(http, promptId, signal),
    async nodeCatalogue() {
      if (performance.now() < readableAgainAtMs)
        throw new NotComfyUIError('/api/object_info could not be read a moment ago');
      catalogue ??= readCatalogue(http).catch((error: unknown) => {
        readableAgainAtMs = performance.now() + CATALOGUE_PAUSE_MS;
        catalogue = null;
        throw error;
      });
      return catalogue;
    },
    async submit(prompt, signal) {
      try {
        await submit(http, prompt, signal);
      } catch (error) {
        if (error instanceof PromptRejectedError) catalogue = null;
        throw error;
      }
    },
    stop: async (promptId, signal) => stop(http, promptId, signal),
    removePending: async (promptId, signal) => removePending(http, promptId, signal),
    // `free_memory` discards the results of nodes, which a second try begins with (ComfyUI 0.8.0, main.py, prompt_worker).
    freeMemory: async (frees, signal) =>
      command(http, { path: '/api/free', body: { unload_models: true, free_memory: frees === 'all' }, signal }),
    uploadInput: async (file, signal) => uploadInput(http, file, signal),
    close: async () => http.close(),
  };
}

async function uploadInput(
  http: ComfyUIHttp,
  ...[file, signal]: [{ readonly filename: string; readonly bytes: Blob }, AbortSignal | undefined]
): Promise<void> {
  const path = '/api/upload/image'; // of any kind of file, whatever the route is called
  const form = new FormData();
  form.append('image', file.bytes, file.filename);
  form.append('subfolder', INPUT_SUBFOLDER);
  form.append('overwrite', 'true'); // else one that was half written stays, and ours is called "… (1)"
  const answer = await http.send({ method: 'POST', path, form, signal, totalMs: UPLOAD_MS });
  if (answer.status === 500) throw new InputRefusedError(file.filename, answer.text);
  if (answer.status !== 200) throw new ComfyUIHttpError(path, answer.status, answer.text);
  const { name, subfolder } = parsed(uploadedSchema, answer.json, path);
  if (name === file.filename && subfolder === INPUT_SUBFOLDER) return;
  throw new NotComfyUIError(`ComfyUI stored ${file.filename} as ${subfolder}/${name}`);
}

/** Without the caller's signal: others wait for the same answer. */
async function readCatalogue(http: ComfyUIHttp): Promise<NodeCatalogue> {
  const path = '/api/object_info';
  const info = await http.json({ path, signal: undefined, totalMs: OBJECT_INFO_MS });
  return nodeCatalogueFrom(parsed(z.record(z.string(), z.unknown()), info, path));
}

/**
 * One look that a prompt cannot slip through: the jobs route where it exists, else queue first and history second.
 * Whether a route exists is what this answer says, not what the version says that discovery read: forks and checkouts
 * between releases have any number, a proxy may block a route, and a server can be exchanged between two requests.
 */
async function promptState(http: ComfyUIHttp, promptId: string, signal?: AbortSignal): Promise<PromptState> {
  const path = `/api/jobs/${encodeURIComponent(promptId)}`;
  const answer = await http.send({ path, signal, totalMs: LOOK_MS });
  if (answer.status === 200) return jobStateOf(answer);
  // Before 0.6.0 the route is unknown and answers 404 without a body; "Job not found" is an answer.
  if (answer.status === 404 && jobAbsentSchema.safeParse(answer.json).success) return { status: 'absent' };
  return queueThenHistory(http, promptId, signal);
}

function jobStateOf({ json }: ComfyUIAnswer): PromptState {
  const job = parsed(jobSchema, json, '/api/jobs');
  if (job.status === 'pending') return { status: 'pending' };
  if (job.status === 'in_progress') return { status: 'running' };
  if (job.status === 'cancelled') return { status: 'interrupted' }; // since mid 2026
  return finishedStateOf({ outputs: job.outputs, status: job.execution_status });
}

async function queueThenHistory(http: ComfyUIHttp, promptId: string, signal?: AbortSignal): Promise<PromptState> {
  const queue = parsed(queueSchema, await http.json({ path: '/api/queue', signal, totalMs: LOOK_MS }), '/api/queue');
  if (queue.queue_running.some(([, id]) => id === promptId)) return { status: 'running' };
  if (queue.queue_pending.some(([, id]) => id === promptId)) return { status: 'pending' };
  const path = `/api/history/${encodeURIComponent(promptId)}`;
  const history = await http.json({ path, signal, totalMs: LOOK_MS });
  const entry = parsed(historySchema, history, path)[promptId];
  return entry === undefined ? { status: 'absent' } : finishedStateOf(entry);
}

/** Before mid 2026 there is no route that does both, so both are sent: what waits at one request may run at the next. */
async function stop(http: ComfyUIHttp, promptId: string, signal?: AbortSignal): Promise<void> {
  const path = `/api/jobs/${encodeURIComponent(promptId)}/cancel`;
  const answer = await http.send({ method: 'POST', path, signal, totalMs: LOOK_MS });
  if (answer.status === 200) {
    parsed(cancelledSchema, answer.json, path);
    return;
  }
  // A POST to an unknown path is looked for among ComfyUI's static files, which answer 405.
  if (![404, 405].includes(answer.status)) throw new ComfyUIHttpError(path, answer.status, answer.text);
  await removePending(http, promptId, signal);
  await interrupt(http, promptId, signal);
}

async function removePending(http: ComfyUIHttp, promptId: string, signal?: AbortSignal): Promise<void> {
  await command(http, { path: '/api/queue', body: { delete: [promptId] }, signal });
}

async function interrupt(http: ComfyUIHttp, promptId: string, signal?: AbortSignal): Promise<void> {
  await command(http, { path: '/api/interrupt', body: { prompt_id: promptId }, signal });
}

async function command(http: ComfyUIHttp, ask: Pick<ComfyUIRequest, 'path' | 'body' | 'signal'>): Promise<void> {
  const answer = await http.send({ method: 'POST', ...ask, totalMs: LOOK_MS });
  if (answer.status !== 200) throw new ComfyUIHttpError(ask.path, answer.status, answer.text);
}

async function submit(http: ComfyUIHttp, prompt: SubmittedGraph, signal?: AbortSignal): Promise<void> {
  const { graph, promptId, extraData } = prompt;
  // client_id: without one 0.8.0 leaves cached outputs out of the history. No `number`: the same id with the same
  // number answers 500 and is queued all the same.
  const body = { prompt: graph, prompt_id: promptId, client_id: promptId, extra_data: extraData };
  const answer = await http.send({ method: 'POST', path: '/api/prompt', body, signal, totalMs: SUBMIT_MS });
  const rejected = rejectedSchema.safeParse(answer.json);
  if (answer.status === 400 && rejected.success) {
    throw new PromptRejectedError(inWords(rejected.data.error), nodeFaultsOf(rejected.data.node_errors));
  }
  if (answer.status !== 200) throw new ComfyUIHttpError('/api/prompt', answer.status, answer.text);
  const faults = nodeFaultsOf(parsed(submittedSchema, answer.json, '/api/prompt').node_errors);
  if (faults.length === 0) return;
  // 200 with faults: the valid branches are queued, the others dropped without a word. Half a result is no result.
  // As well as it can be done: the refusal is what the caller must hear, whether or not this succeeds.
  await stop(http, promptId).catch(() => undefined);
  throw new PromptRejectedError(
    { type: 'partially_invalid', message: 'Some outputs of the graph are invalid', details: '' },
    faults,
  );
}

/** "Prompt has no outputs" names neither a node nor what to do; since mid 2026 a missing class goes by its node's title. */
function inWords(error: z.infer<typeof rejectedSchema>['error']): z.infer<typeof rejectedSchema>['error'] {
  const classType = error.extra_info?.class_type ?? null;
  if (classType !== null) return { ...error, details: `${error.details}, class ${classType}` };
  if (error.type !== 'prompt_no_outputs') return error;
  return { ...error, details: 'it has no output node; end it with a save node such as SaveImage' };
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new NotComfyUIError(`The answer to ${path} is not what ComfyUI says: ${z.prettifyError(result.error)}`);
}
