import type { Response } from 'express';
import { Bell } from '../../infra/runtime/bell.js';
import type { Database } from '../../infra/postgres/database.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import { queueView } from '../generations/generation-view.js';
import type { Language } from '../messages/messages.js';
import type { WatchQueue } from '../queue/queue-watcher.js';
import type { EventHub } from './event-hub.js';
import { eventsAfter } from './events-after.js';
import type { OpenStreams } from './open-streams.js';
import type { ProgressWatcher } from './progress-watcher.js';
import { createSseWriter } from './sse-writer.js';
import type { SseWriter } from './sse-writer.js';

const PROGRESS_INTERVAL_MS = 1_000;
/** A lost notification costs at most this long. */
const SAFETY_LOOK_MS = 5_000;

export interface StreamDeps {
  readonly database: Database;
  readonly hub: EventHub;
  readonly progress: ProgressWatcher;
  readonly watchQueue: WatchQueue;
  readonly streams: OpenStreams;
}

export interface StreamRequest {
  readonly generationId: string;
  /** Number of the last event that is known. */
  readonly after: number;
  /** Of the texts for end users. */
  readonly language: Language;
  readonly res: Response;
}

/** Sends events until the generation has ended or the caller goes away; `false`: unknown id. */
export type StreamGeneration = (request: StreamRequest) => Promise<boolean>;

export function createStreamGeneration(deps: StreamDeps): StreamGeneration {
  return async (request) => deps.streams.run(request.res, async (signal) => stream(deps, request, signal));
}

async function stream(deps: StreamDeps, ...[request, signal]: [StreamRequest, AbortSignal]): Promise<boolean> {
  const { generationId, language, res } = request;
  const news = new News();
  const unsubscribe = deps.hub.subscribe(generationId, () => {
    news.ring();
  });
  let writer: SseWriter | null = null;
  try {
    let after = request.after;
    while (!signal.aborted) {
      news.forget();
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
      await untilNews(deps, { generationId, status, language, writer, news, signal });
    }
    return true;
  } finally {
    unsubscribe();
    writer?.end();
  }
}

/** That something has happened since it was last forgotten. */
class News {
  readonly #bell = new Bell();
  #isThere = false;

  get isThere(): boolean {
    return this.#isThere;
  }

  ring(): void {
    this.#isThere = true;
    this.#bell.ring();
  }

  forget(): void {
    this.#isThere = false;
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    await this.#bell.wait(ms, signal);
  }
}

interface Turn {
  readonly generationId: string;
  readonly status: GenerationStatus;
  readonly language: Language;
  readonly writer: SseWriter;
  readonly news: News;
  readonly signal: AbortSignal;
}

/** Waits for the next durable event, showing progress, or the place in the queue, meanwhile. */
async function untilNews(deps: StreamDeps, turn: Turn): Promise<void> {
  const { generationId, status, writer, news, signal } = turn;
  const until = performance.now() + (status === 'PROCESSING' ? PROGRESS_INTERVAL_MS : SAFETY_LOOK_MS);
  do {
    if (status === 'QUEUED') await showQueue(deps, turn);
    if (status === 'PROCESSING') {
      const { progress } = await deps.progress.read(generationId);
      if (progress !== null) await writer.update('progress', { id: generationId, status, progress });
    }
    if (!news.isThere) await news.wait(Math.min(PROGRESS_INTERVAL_MS, until - performance.now()), signal);
  } while (!news.isThere && !signal.aborted && performance.now() < until);
}

/** The look at the queue is shared, so it may be a second away; an event is not kept waiting for it. */
async function showQueue({ watchQueue }: StreamDeps, turn: Turn): Promise<void> {
  const { generationId, status, language, writer, news, signal } = turn;
  const seen = new AbortController();
  const place = await Promise.race([
    watchQueue(generationId),
    news.wait(SAFETY_LOOK_MS, AbortSignal.any([signal, seen.signal])).then(() => null),
  ]);
  seen.abort();
  if (place !== null) await writer.update('queue', { id: generationId, status, queue: queueView(place, language) });
}
