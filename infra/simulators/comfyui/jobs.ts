import { isRecord } from './is-record.js';
import type { HistoryEntry, Json } from './prompt-history.js';
import type { PromptItem } from './prompt-item.js';
import type { ServerVersion } from './server-versions.js';

const JOB_STATUSES = ['pending', 'in_progress', 'completed', 'failed', 'cancelled'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/** Until June 2026 an interrupted job is `failed` without an `execution_error`, then it is `cancelled`. */
export function jobStatuses({ jobs }: ServerVersion): readonly JobStatus[] {
  return jobs === 'cancel' ? JOB_STATUSES : JOB_STATUSES.filter((status) => status !== 'cancelled');
}

/** `details`: with what only GET /api/jobs/{id} shows. */
export interface JobForm {
  readonly version: ServerVersion;
  readonly details: boolean;
}

export interface Job {
  readonly id: string;
  readonly status: JobStatus;
  readonly create_time?: number;
  readonly execution_start_time?: number;
  readonly execution_end_time?: number;
  readonly [field: string]: unknown;
}

const FINAL_EVENTS = ['execution_success', 'execution_error', 'execution_interrupted'];
const PREVIEWABLE = ['images', 'video', 'audio', '3d', 'text'];

/** A job that is not over. */
export function jobOfQueued(item: PromptItem, status: 'pending' | 'in_progress', form: JobForm): Job {
  const isNew = form.version.jobs === 'cancel';
  const job = pruned({
    id: item.promptId,
    status,
    priority: item.number,
    ...createdBy(item.extraData),
    outputs_count: 0,
    previewable_outputs_count: isNew ? 0 : undefined,
    workflow_id: workflowIdOf(item.extraData),
  });
  return isNew && form.details ? { ...job, workflow: { prompt: item.graph, extra_data: item.extraData } } : job;
}

/** A job that is over. */
export function jobOfFinished(promptId: string, entry: HistoryEntry, form: JobForm): Job {
  const [priority, , graph, extraData] = entry.prompt;
  const { count, previewable } = outputsSummary(entry.outputs);
  const final = entry.status.messages.find(([event]) => FINAL_EVENTS.includes(event));
  const job = pruned({
    id: promptId,
    status: finalStatusOf(entry, form.version),
    priority,
    ...createdBy(extraData),
    execution_start_time: entry.status.messages.find(([event]) => event === 'execution_start')?.[1]['timestamp'],
    execution_end_time: final?.[1]['timestamp'],
    execution_error: final?.[0] === 'execution_error' ? final[1] : undefined,
    outputs_count: count,
    previewable_outputs_count: form.version.jobs === 'cancel' ? previewable.length : undefined,
    preview_output: previewable.find((item) => item.type === 'output') ?? previewable[0],
    workflow_id: workflowIdOf(extraData),
  });
  if (!form.details) return job;
  return {
    ...job,
    outputs: entry.outputs,
    execution_status: entry.status,
    workflow: { prompt: graph, extra_data: extraData },
  };
}

function finalStatusOf({ status }: HistoryEntry, { jobs }: ServerVersion): JobStatus {
  if (status.status_str === 'success') return 'completed';
  const isInterrupted = status.messages.some(([event]) => event === 'execution_interrupted');
  return isInterrupted && jobs === 'cancel' ? 'cancelled' : 'failed';
}

function createdBy(extraData: Json): { create_time: unknown } {
  return { create_time: extraData['create_time'] };
}

/** @NOTE `extra_pnginfo: null` throws here, which is why one such prompt makes GET /api/jobs answer 500 for everyone. */
function workflowIdOf(extraData: Json): unknown {
  const pngInfo = 'extra_pnginfo' in extraData ? extraData['extra_pnginfo'] : {};
  if (!isRecord(pngInfo)) throw new TypeError("'NoneType' object has no attribute 'get'");
  const drawing = 'workflow' in pngInfo ? pngInfo['workflow'] : {};
  if (!isRecord(drawing)) throw new TypeError("'NoneType' object has no attribute 'get'");
  return drawing['id'];
}

function outputsSummary(outputs: Json): { count: number; previewable: readonly FileItem[] } {
  const items = Object.entries(outputs).flatMap(([nodeId, output]) =>
    Object.entries(isRecord(output) ? output : {}).flatMap(([mediaType, list]) => filesOf(nodeId, mediaType, list)),
  );
  return { count: items.length, previewable: items.filter((item) => PREVIEWABLE.includes(item.mediaType)) };
}

type FileItem = Json & { readonly mediaType: string; readonly type: unknown };

function filesOf(nodeId: string, mediaType: string, list: unknown): FileItem[] {
  if (mediaType === 'animated' || !Array.isArray(list)) return [];
  return list.filter(isRecord).map((file) => ({ ...file, type: file['type'], nodeId, mediaType }));
}

/** Absent facts are left out, not null. */
function pruned(fields: Json & { readonly id: string; readonly status: JobStatus }): Job {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return { ...Object.fromEntries(present), id: fields.id, status: fields.status };
}
