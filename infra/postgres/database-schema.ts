import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely';
import type { FailureKind } from '../../workflows/domain/failure.js';
import type { EmergencyStopReport } from '../../workflows/contracts/emergency-stop.js';
import type { Correction } from '../../workflows/domain/correct-graph.js';
import type { Resumption } from '../../workflows/contracts/checkpoint.js';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import type { GenerationInput, OutputKind } from '../../workflows/contracts/generation.js';

type Json = Record<string, unknown>;
type DatabaseTime = ColumnType<Date, Date | string | undefined, Date | string | null>;
type OptionalTime = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

/** The tables of `infra/postgres/migrations`, as kysely sees them. */
export interface DatabaseSchema {
  generations: GenerationsTable;
  outputs: OutputsTable;
  generation_events: GenerationEventsTable;
  recovery_attempts: RecoveryAttemptsTable;
  outbox: OutboxTable;
  idempotency_keys: IdempotencyKeysTable;
  reconciliation: ReconciliationTable;
  fal_reservations: FalReservationsTable;
  checkpoints: CheckpointsTable;
  emergency_stops: EmergencyStopsTable;
  accounts: AccountsTable;
  credit_entries: CreditEntriesTable;
  uploads: UploadsTable;
  generation_inputs: GenerationInputsTable;
  batches: BatchesTable;
  unfed_generations: UnfedGenerationsTable;
}

export interface GenerationsTable {
  id: string;
  account_id: Generated<string>;
  status: Generated<GenerationStatus>;
  template: string;
  provider: Generated<'comfyui' | 'fal'>;
  graph_key: string;
  priority: Generated<number>;
  asked: JSONColumnType<Json>;
  delivered: JSONColumnType<Json> | null;
  metadata: JSONColumnType<Json>;
  workflow_input: JSONColumnType<GenerationInput>;
  failure_kind: FailureKind | null;
  failure: JSONColumnType<StoredFailure> | null;
  backend_id: string | null;
  submission: Generated<number>;
  retry_of: string | null;
  cancel_requested_at: OptionalTime;
  ended_by_run: string | null;
  event_sequence: Generated<number>;
  credits: number | null;
  claim_queue: string | null;
  claim_models: ColumnType<readonly string[], string | undefined, string>;
  corrections: ColumnType<readonly Correction[], string | undefined, string>;
  /** Why fal.ai does not take it while it waits. */
  fallback_obstacle: ColumnType<string | null, never, string | null>;
  avoided: ColumnType<readonly string[], string | undefined, string>;
  created_at: DatabaseTime;
  started_at: OptionalTime;
  rendered_at: OptionalTime;
  finished_at: OptionalTime;
  outputs_removed_at: OptionalTime;
  records_removed_at: OptionalTime;
  batch_id: string | null;
  batch_index: number | null;
  pool: GeneratedAlways<string>;
  flow: GeneratedAlways<string>;
}

export interface BatchesTable {
  id: string;
  account_id: Generated<string>;
  total: number;
  created_at: DatabaseTime;
  cancel_requested_at: OptionalTime;
}

export interface UnfedGenerationsTable {
  generation_id: string;
  batch_id: string;
  pool: string;
  priority: number;
}

/** Why a generation failed: words for people, facts for machines. */
export interface StoredFailure {
  readonly detail: string;
  readonly facts: Json;
}

export interface CheckpointsTable {
  generation_id: string;
  attempt: number;
  progress_percent: number;
  completed_nodes: JSONColumnType<string[]>;
  graph_key: string;
  files: JSONColumnType<string[]>;
  /** Of the last one of a generation that has failed. */
  resumption: JSONColumnType<Resumption> | null;
  created_at: DatabaseTime;
}

export interface AccountsTable {
  id: string;
  created_at: DatabaseTime;
  best_priority: number | null;
  max_open: number | null;
  weight: number | null;
}

export interface CreditEntriesTable {
  id: Generated<string>;
  account_id: string;
  kind: 'grant' | 'hold' | 'capture' | 'release';
  credits: number;
  /** A bigint: the driver delivers it as text. */
  balance: ColumnType<string, number, never>;
  generation_id: string | null;
  reference: string | null;
  created_at: DatabaseTime;
}

export interface UploadsTable {
  id: string;
  account_id: Generated<string>;
  /** A bigint: the driver delivers it as text. */
  bytes: ColumnType<string, number, number>;
  sha256: string | null;
  object_key: string | null;
  kind: 'image' | 'video' | 'audio' | null;
  media_type: string | null;
  width_px: number | null;
  height_px: number | null;
  duration_seconds: number | null;
  has_sound: boolean | null;
  created_at: DatabaseTime;
  used_at: DatabaseTime;
}

export interface GenerationInputsTable {
  generation_id: string;
  sha256: string;
  object_key: string;
}

export interface EmergencyStopsTable {
  id: Generated<string>;
  reason: string;
  requested_at: DatabaseTime;
  report: JSONColumnType<EmergencyStopReport> | null;
  completed_at: OptionalTime;
  resumed_at: OptionalTime;
}

export interface FalReservationsTable {
  generation_id: string;
  model_id: string;
  /** A numeric: the driver delivers it as text. */
  usd: ColumnType<string, number, never>;
  created_at: DatabaseTime;
}

export interface OutputsTable {
  generation_id: string;
  index: number;
  kind: OutputKind;
  media_type: string;
  object_key: string;
  /** A bigint: the driver delivers it as text. */
  bytes: ColumnType<string, number, number>;
  sha256: string;
  width_px: number | null;
  height_px: number | null;
  frames: number | null;
  duration_seconds: number | null;
  is_flat: boolean;
}

export interface GenerationEventsTable {
  generation_id: string;
  sequence: number;
  type: string;
  data: JSONColumnType<Json>;
  created_at: DatabaseTime;
}

export interface RecoveryAttemptsTable {
  generation_id: string;
  attempt: number;
  kind: FailureKind;
  strategy: string;
  message: string;
  parameters_before: JSONColumnType<Json> | null;
  parameters_after: JSONColumnType<Json> | null;
  success: boolean | null;
  created_at: DatabaseTime;
}

export interface OutboxTable {
  id: Generated<string>;
  kind: 'start' | 'cancel';
  generation_id: string;
  created_at: DatabaseTime;
  attempts: Generated<number>;
  next_attempt_at: DatabaseTime;
  priority: Generated<number>;
  flow: Generated<string>;
  turn: Generated<string>;
}

export interface IdempotencyKeysTable {
  account_id: string;
  key: string;
  request_sha256: string;
  /** `null`: the request makes several, or none. */
  generation_id: string | null;
  batch_id: string | null;
  response_body: string;
  created_at: DatabaseTime;
}

/** One row. */
export interface ReconciliationTable {
  is_only_row: Generated<boolean>;
  closed_until: DatabaseTime;
}
