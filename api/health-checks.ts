import type { Client } from '@temporalio/client';
import { stopInForce } from '../activities/database/intake.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import type { Database } from '../infra/postgres/database.js';
import { DeadlineError, withDeadline } from './with-deadline.js';

const DEADLINE_MS = 2_000;

export interface Readiness {
  /** This process can do its work; Temporal may be away meanwhile. */
  readonly isReady: boolean;
  /** An emergency stop is in force: reading works, and so does resuming, which a load balancer must let through. */
  readonly isStopped: boolean;
  /** `ok`, or in a few words what is wrong. */
  readonly dependencies: { readonly database: string; readonly objectStore: string; readonly temporal: string };
}

export type CheckReadiness = () => Promise<Readiness>;

/** Asks every dependency at once, 2 s each. */
export function createCheckReadiness(deps: {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly temporal: Client;
}): CheckReadiness {
  return async function checkReadiness() {
    let isStopped = false;
    const [database, objectStore, temporal] = await Promise.all([
      stateOf(async () => {
        isStopped = (await stopInForce(deps.database).executeTakeFirst()) !== undefined;
      }),
      stateOf(async () => deps.store.check()),
      stateOf(async () =>
        deps.temporal.workflowService.describeNamespace({ namespace: deps.temporal.options.namespace }),
      ),
    ]);
    const isReady = database === 'ok' && objectStore === 'ok';
    return { isReady, isStopped, dependencies: { database, objectStore, temporal } };
  };
}

async function stateOf(ask: () => Promise<unknown>): Promise<string> {
  try {
    await withDeadline(DEADLINE_MS, ask());
    return 'ok';
  } catch (error) {
    return wordsFor(error);
  }
}

/** A few words of our own: a driver's message may hold addresses, names and keys. */
function wordsFor(error: unknown): string {
  if (error instanceof DeadlineError) return `no answer within ${DEADLINE_MS / 1000} s`;
  const code = codeOf(error);
  return code === null ? 'does not work' : `does not work (${code})`;
}

/** The innermost code: ECONNREFUSED says more than the wrapper around it. */
function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null) return null;
  const inner = 'cause' in error ? codeOf(error.cause) : null;
  if (inner !== null) return inner;
  return 'code' in error && typeof error.code === 'string' && /^[A-Za-z0-9_]{1,40}$/.test(error.code)
    ? error.code
    : null;
}
