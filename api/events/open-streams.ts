import type { Response } from 'express';
import { ProblemError } from '../problem-error.js';

const MAX_STREAMS = 1_000;

/** The open event streams of this process. */
export interface OpenStreams {
  /** Runs one until it has said everything or the caller goes away; answers what it answers. */
  run<Result>(res: Response, stream: (signal: AbortSignal) => Promise<Result>): Promise<Result>;
  /** Ends all streams, so that the server can stop; callers come back with Last-Event-ID. */
  closeAll(): void;
}

export function createOpenStreams(): OpenStreams {
  const open = new Set<AbortController>();
  return {
    async run(res, stream) {
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
        return await stream(closing.signal);
      } finally {
        open.delete(closing);
      }
    },
    closeAll() {
      for (const closing of open) closing.abort();
    },
  };
}
