import { z } from 'zod';
import type { ObjectStore } from './object-store.js';

/**
 * What is known of one submission to fal, written before it is posted: whoever finds the record without a request id
 * must not post, because somebody has posted or is about to.
 */
export interface FalRecord {
  readonly requestId: string | null;
  /** Milliseconds since the epoch. */
  readonly submittedAtMs: number;
  readonly modelId: string;
}

/** The records, in the object store: over all attempts, workers and resets. */
export interface FalRecords {
  read(): Promise<FalRecord | null>;
  /** False when the record is there already: somebody else posts. */
  begin(record: FalRecord): Promise<boolean>;
  /** fal has the request, under this id. */
  keep(record: FalRecord): Promise<void>;
  /** fal refused it for certain: it may be posted again. */
  forget(): Promise<void>;
}

const recordSchema = z.object({
  requestId: z.string().nullable(),
  submittedAtMs: z.number().int(),
  modelId: z.string(),
});

/** `fal/<generationId>/<submission>.json` */
export function falRecordKey(generationId: string, submission: number): string {
  return `${falRecordsPrefix(generationId)}${submission}.json`;
}

/** Of all submissions of one generation. */
export function falRecordsPrefix(generationId: string): string {
  return `fal/${generationId}/`;
}

export type FalRecordStore = Pick<ObjectStore, 'readJson' | 'writeJson' | 'remove'>;

export function falRecordOf(store: FalRecordStore, key: string): FalRecords {
  return {
    async read() {
      const stored = await store.readJson(key);
      return stored === null ? null : recordSchema.parse(stored.value);
    },
    begin: async (record) => (await store.writeJson(key, record, { kind: 'absent' })).ok,
    keep: async (record) => {
      await store.writeJson(key, record, { kind: 'always' });
    },
    forget: async () => store.remove(key),
  };
}
