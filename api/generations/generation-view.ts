import type { Selectable } from 'kysely';
import type { GenerationsTable, OutputsTable, RecoveryAttemptsTable } from '../../infra/postgres/database-schema.js';
import { generationWorkflowId } from '../../workflows/contracts/generation.js';
import { describeRecordedFailure, falWordedKind } from '../../workflows/domain/fal-failure.js';
import type { RecordedFailure } from '../../workflows/domain/fal-failure.js';
import { errorCodeOf } from '../../workflows/domain/failure.js';
import { abandonedRenderingsIn } from '../../workflows/domain/recovery.js';
import { recordedText } from '../../workflows/domain/recovery-texts.js';
import { messagesIn } from '../messages/messages.js';
import type { Language } from '../messages/messages.js';
import type { QueueFacts } from '../queue/queue-board.js';
import type { GenerationView, ProgressView, QueueView } from '../schemas/generation-view.js';

export type GenerationRow = Selectable<GenerationsTable>;
export type OutputRow = Selectable<OutputsTable>;
export type AttemptRow = Selectable<RecoveryAttemptsTable>;

export interface ViewParts {
  readonly row: GenerationRow;
  readonly outputs: readonly OutputRow[];
  readonly attempts: readonly AttemptRow[];
  readonly queue: QueueFacts | null;
  readonly progress: ProgressView | null;
  readonly runId: string | null;
  /** Address of the Workflow in Temporal's Web UI, `null` when no UI is configured. */
  readonly temporalUrl: string | null;
  /** Of the texts for end users. */
  readonly language: Language;
}

/** What a caller sees of a generation: an allow-list of fields, never a row as it is. */
export function generationView(parts: ViewParts): GenerationView {
  const { row, language } = parts;
  return {
    id: row.id,
    status: row.status,
    url: `/v1/generations/${row.id}`,
    template: row.template,
    provider: row.provider,
    providerMode: row.workflow_input.provider ?? null,
    asked: row.asked,
    delivered: row.delivered ?? (row.status === 'COMPLETED' ? row.asked : null),
    corrections: [...row.corrections],
    attempts: parts.attempts.map((attempt) => attemptView(attempt, language)),
    abandonedRenderings: abandonedRenderingsIn(parts.attempts),
    progress: parts.progress,
    queue: parts.queue === null ? null : queueView(parts.queue, language),
    fallbackObstacle: row.status === 'QUEUED' || row.status === 'RECOVERING' ? row.fallback_obstacle : null,
    outputs: parts.outputs.map((output) => outputView(output, row.outputs_removed_at)),
    error: errorView(row, language),
    account: row.credits === null ? null : row.account_id,
    credits: creditsView(row),
    retryOf: row.retry_of,
    batch: row.batch_id === null ? null : { id: row.batch_id, index: row.batch_index },
    priority: row.priority,
    metadata: stringsOf(row.metadata),
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
    cancelRequestedAt: row.cancel_requested_at?.toISOString() ?? null,
    temporal: { workflowId: generationWorkflowId(row.id), runId: parts.runId, url: parts.temporalUrl },
  };
}

function attemptView(row: AttemptRow, language: Language): GenerationView['attempts'][number] {
  return {
    attempt: row.attempt,
    kind: row.kind,
    strategy: row.strategy,
    message: attemptMessage(row.message, language),
    rule: recordedText(row.message)?.rule ?? null,
    before: row.parameters_before,
    after: row.parameters_after,
    success: row.success,
    createdAt: row.created_at.toISOString(),
  };
}

/** Recorded in English; what no version of today has written stays as it is. */
function attemptMessage(message: string, language: Language): string {
  const recorded = recordedText(message);
  if (recorded === null) return message;
  const { attempts, byRule } = messagesIn(language);
  const text = attempts[recorded.id];
  return recorded.rule === null ? text : byRule({ text, rule: recorded.rule });
}

function outputView(row: OutputRow, removedAt: Date | null): GenerationView['outputs'][number] {
  return {
    index: row.index,
    kind: row.kind,
    mediaType: row.media_type,
    bytes: Number(row.bytes),
    sha256: row.sha256,
    width: row.width_px,
    height: row.height_px,
    frames: row.frames,
    durationSeconds: row.duration_seconds,
    isFlat: row.is_flat,
    expiredAt: removedAt?.toISOString() ?? null,
    url: `/v1/generations/${row.generation_id}/outputs/${row.index}`,
  };
}

/** R4.3: with a notice for the end user while all GPUs are taken. */
export function queueView(queue: QueueFacts, language: Language): QueueView {
  const isBusy = queue.slots > 0 && queue.busy >= queue.slots;
  return isBusy ? { ...queue, userMessage: messagesIn(language).busy(queue) } : queue;
}

function errorView(
  { failure_kind: kind, failure, provider }: GenerationRow,
  language: Language,
): GenerationView['error'] {
  if (kind === null) return null;
  const recorded = { kind, provider, facts: failure?.facts ?? {} };
  const { title, remedy, isRetryableByCaller } = describeRecordedFailure(recorded);
  return {
    code: errorCodeOf(kind),
    kind,
    title,
    detail: failure?.detail ?? title,
    remedy,
    retryable: isRetryableByCaller,
    userMessage: userMessageOf(recorded, language),
    type: `/docs/errors/${errorCodeOf(kind)}`,
  };
}

function userMessageOf(failure: RecordedFailure, language: Language): string {
  const { failures, failuresOnFal } = messagesIn(language);
  const worded = falWordedKind(failure);
  return worded === null ? failures[failure.kind] : failuresOnFal[worded];
}

/** R4.5: the entries of the account say the same; a test compares them. */
function creditsView({ credits: amount, status, finished_at: finishedAt }: GenerationRow): GenerationView['credits'] {
  if (amount === null) return null;
  if (finishedAt === null) return { amount, state: 'held' };
  return { amount, state: status === 'COMPLETED' ? 'captured' : 'released' };
}

function stringsOf(metadata: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, String(value)]));
}
