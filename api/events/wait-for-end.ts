import type { Database } from '../../infra/postgres/database.js';
import { abortAfter } from '../../infra/runtime/abort-after.js';
import { Bell } from '../../infra/runtime/bell.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import type { EventHub } from './event-hub.js';

/** A lost notification costs at most this long. */
const SAFETY_LOOK_MS = 10_000;

/** True when the generation has ended, false when the time was over or the signal came first. */
export type WaitForEnd = (generationId: string, ms: number, signal: AbortSignal) => Promise<boolean>;

export interface WaitDeps {
  readonly database: Database;
  readonly hub: EventHub;
  /** Aborts when the process stops: those who wait are answered then, not cut off. */
  readonly stopping: AbortSignal;
}

export function createWaitForEnd(deps: WaitDeps): WaitForEnd {
  return async function waitForEnd(generationId, ms, callerSignal) {
    const bell = new Bell();
    const unsubscribe = deps.hub.subscribe(generationId, () => {
      bell.ring();
    });
    try {
      return await abortAfter(ms, [callerSignal, deps.stopping], async (signal) => {
        while (!signal.aborted) {
          if (await hasEnded(deps.database, generationId)) return true;
          await bell.wait(SAFETY_LOOK_MS, signal);
        }
        return false;
      });
    } finally {
      unsubscribe();
    }
  };
}

async function hasEnded(database: Database, generationId: string): Promise<boolean> {
  const row = await database
    .selectFrom('generations')
    .select('status')
    .where('id', '=', generationId)
    .executeTakeFirst();
  return row === undefined || isTerminal(row.status);
}
