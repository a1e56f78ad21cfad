import { z } from 'zod';
import { ObjectStoreError } from './errors.js';
import type { ObjectStore } from './object-store.js';

/** The durable intent before the effect, and the fence of workers that have no database. */
export interface ClaimRecord {
  /** Grows with every rendering of a generation, even over resets. */
  readonly submission: number;
  readonly backendId: string;
  /** The generation has ended: nobody may claim it again. */
  readonly ended: boolean;
  /** The Workflow run that claimed: after a reset another run finds the claim of this one. */
  readonly runId?: string | undefined;
  /** SHA-256 of the graph that this submission renders: a recovery may have changed it since. */
  readonly graphSha256?: string | undefined;
}

/** More than ever race for one claim; a store that refuses every write must not be asked for ever. */
const MAX_ROUNDS = 10;

const claimSchema = z.object({
  submission: z.number().int().nonnegative(),
  backendId: z.string(),
  ended: z.boolean(),
  runId: z.string().optional(),
  graphSha256: z.string().optional(),
});

/** `claims/<generationId>.json` */
export function claimKey(generationId: string): string {
  return `claims/${generationId}.json`;
}

/** The record as it stands, `null` when nobody has claimed the generation in this store. */
export async function readClaim(store: ObjectStore, generationId: string): Promise<ClaimRecord | null> {
  const stored = await store.readJson(claimKey(generationId));
  return stored === null ? null : claimSchema.parse(stored.value);
}

/**
 * The generation has ended: not even a reset may claim it again, and a prompt that it left on a GPU is removed. Written
 * unread, because nothing that may stand there counts from now on; who is claiming meanwhile is refused, and reads it.
 */
export async function closeClaim(store: ObjectStore, generationId: string, last: LastClaim): Promise<void> {
  const record: ClaimRecord = { submission: last.submission, backendId: last.backendId ?? '', ended: true };
  await store.writeJson(claimKey(generationId), record, { kind: 'always' });
}

/** The claim that the generation ended with, as it is known to whoever records the end; for people who look into the store. */
export interface LastClaim {
  readonly submission: number;
  readonly backendId: string | null;
}

type Decide = (current: ClaimRecord | null) => Promise<ClaimRecord | null>;

/**
 * Changes the record by compare-and-set until it sticks: `decide` sees the current record and answers the next one, or
 * `null` to leave it as it is. Answers the record that then stands (`null`: there is none).
 */
export async function changeClaim(
  store: ObjectStore,
  generationId: string,
  decide: Decide,
): Promise<ClaimRecord | null> {
  const key = claimKey(generationId);
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const stored = await store.readJson(key);
    const current = stored === null ? null : claimSchema.parse(stored.value);
    const next = await decide(current);
    if (next === null) return current;
    const condition =
      stored === null ? ({ kind: 'absent' } as const) : ({ kind: 'matches', etag: stored.etag } as const);
    if ((await store.writeJson(key, next, condition)).ok) return next;
  }
  throw new ObjectStoreError(key, { cause: new Error(`it changed under each of ${MAX_ROUNDS} attempts to write it`) });
}

/** `changeClaim` for a record that is probably not there yet: it is written unread, and read when the store refuses that. */
export async function openClaim(store: ObjectStore, generationId: string, decide: Decide): Promise<ClaimRecord | null> {
  const first = await decide(null);
  if (first !== null && (await store.writeJson(claimKey(generationId), first, { kind: 'absent' })).ok) return first;
  return changeClaim(store, generationId, decide);
}
