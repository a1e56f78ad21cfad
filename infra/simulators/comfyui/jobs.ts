import { isRecord } from './is-record.js';
import type { HistoryEntry, Json } from './prompt-history.js';
import type { PromptItem } from './prompt-item.js';

/** Statuses of the jobs API in 0.8.0; an interrupted job is `failed` without an `execution_error`. */
export const JOB_STATUSES = ['pending', 'in_progress', 'completed', 'failed'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

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

export function jobOfQueued(item: PromptItem, status: 'pending' | 'in_progress'): Job {
  return pruned({
    id: item.promptId,
    status,
    priority: item.number,
    ...createdBy(item.extraData),
    outputs_count: 0,
    workflow_id: workflowIdOf(item.extraData),
  });
}

/** The list form; `details` adds what only GET /api/jobs/{id} shows. */
export function jobOfFinished(promptId: string, entry: HistoryEntry, details: boolean): Job {
  const [priority, , graph, extraData] = entry.prompt;
  const { count, preview } = outputsSummary(entry.outputs);
  const final = entry.status.messages.find(([event]) => FINAL_EVENTS.includes(event));
  const job = pruned({
    id: promptId,
    status: entry.status.status_str === 'success' ? 'completed' : 'failed',
    priority,
    ...createdBy(extraData),
    execution_start_time: entry.status.messages.find(([event]) => event === 'execution_start')?.[1]['timestamp'],
    execution_end_time: final?.[1]['timestamp'],
    execution_error: final?.[0] === 'execution_error' ? final[1] : undefined,
    outputs_count: count,
    preview_output: preview,
    workflow_id: workflowIdOf(extraData),
  });
  if (!details) return job;
  return {
    ...job,
    outputs: entry.outputs,
    execution_status: entry.status,
    workflow: { prompt: graph, extra_data: extraData },
  };
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

function outputsSummary(outputs: Json): { count: number; preview: Json | undefined } {
  const items = Object.entries(outputs).flatMap(([nodeId, output]) =>
    Object.entries(isRecord(output) ? output : {}).flatMap(([mediaType, list]) => filesOf(nodeId, mediaType, list)),
  );
  const previewable = items.filter((item) => PREVIEWABLE.includes(item.mediaType));
  return { count: items.length, preview: previewable.find((item) => item.type === 'output') ?? previewable[0] };
}

function filesOf(nodeId: string, mediaType: string, list: unknown): (Json & { mediaType: string; type: unknown })[] {
  if (mediaType === 'animated' || !Array.isArray(list)) return [];
  return list.filter(isRecord).map((file) => ({ ...file, type: file['type'], nodeId, mediaType }));
}

/** Absent facts are left out, not null. */
function pruned(fields: Json & { readonly id: string; readonly status: JobStatus }): Job {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return { ...Object.fromEntries(present), id: fields.id, status: fields.status };
}
