import type { Response } from 'express';
import { Bell } from '../../infra/runtime/bell.js';
import type { Database } from '../../infra/postgres/database.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import { ProblemError } from '../problem-error.js';
import type { EventHub } from './event-hub.js';
import { eventsAfter } from './events-after.js';
import type { ProgressWatcher } from './progress-watcher.js';
import { createSseWriter } from './sse-writer.js';
import type { SseWriter } from './sse-writer.js';

const MAX_STREAMS = 1_000;
const PROGRESS_INTERVAL_MS = 1_000;
/** A lost notification costs at most this long. */
const SAFETY_LOOK_MS = 5_000;

export interface StreamDeps {
  readonly database: Database;
  readonly hub: EventHub;
  readonly progress: ProgressWatcher;
}

/** The open event streams of this process. */
export interface EventStreams {
  /** Sends events after `after` until the generation has ended or the caller goes away; `false`: unknown id. */
  open(generationId: string, after: number, res: Response): Promise<boolean>;
  /** Ends all streams, so that the server can stop; callers come back with Last-Event-ID. */
  closeAll(): void;
}

export function createEventStreams(deps: StreamDeps): EventStreams {
  const open = new Set<AbortController>();
  return {
    async open(generationId, after, res) {
      if (open.size >= MAX_STREAMS) {
        throw new ProblemError('too_many_streams', `${open.size} event streams are open.`, {
          headers: { 'Retry-After': '10' },
        });
      }
      const closing = new AbortController();
      open.add(closing);
      res.once('close', () => {
        closing.abort();
      });
      try {
        return await stream(deps, { generationId, after, res, signal: closing.signal });
      } finally {
        open.delete(closing);
      }
    },
    closeAll() {
      for (const closing of open) closing.abort();
    },
  };
}

interface StreamTarget {
  readonly generationId: string;
  readonly after: number;
  readonly res: Response;
  readonly signal: AbortSignal;
}

async function stream(deps: StreamDeps, target: StreamTarget): Promise<boolean> {
  const { generationId, res, signal } = target;
  const bell = new Bell();
  const unsubscribe = deps.hub.subscribe(generationId, () => {
    bell.ring();
  });
  let writer: SseWriter | null = null;
  try {
    let after = target.after;
    while (!signal.aborted) {
      const { status, events } = await eventsAfter(deps.database, generationId, after);
      if (status === null) return writer !== null;
      if (writer === null && isTerminal(status) && events.length === 0) {
        res.status(204).end(); // tells an EventSource not to come back
        return true;
      }
      writer ??= createSseWriter(res);
      for (const event of events) {
        await writer.event(event);
        after = event.sequence;
      }
      if (isTerminal(status)) break;
      await nextTurn(deps, { generationId, status, writer, wait: async (ms) => bell.wait(ms, signal) });
    }
    return true;
  } finally {
    unsubscribe();
    writer?.end();
  }
}

/** Waits for the next durable event, showing progress meanwhile. */
async function nextTurn(
  deps: StreamDeps,
  turn: {
    readonly generationId: string;
    readonly status: GenerationStatus;
    readonly writer: SseWriter;
    readonly wait: (ms: number) => Promise<void>;
  },
): Promise<void> {
  if (turn.status !== 'PROCESSING') {
    await turn.wait(SAFETY_LOOK_MS);
    return;
  }
  const { progress } = await deps.progress.read(turn.generationId);
  if (progress !== null) await turn.writer.progress({ id: turn.generationId, status: turn.status, progress });
  await turn.wait(PROGRESS_INTERVAL_MS);
}
