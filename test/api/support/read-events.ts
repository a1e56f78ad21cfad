import { request } from 'undici';

export interface SseEvent {
  readonly id: string | null;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A client of an event stream, as an EventSource reads it. */
export interface EventReader {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly events: readonly SseEvent[];
  /** Resolves when an event fits, rejects when the stream ends before. */
  until(fits: (event: SseEvent) => boolean): Promise<SseEvent>;
  /** Resolves when the server has ended the stream. */
  ended: Promise<void>;
  close(): void;
}

export async function readEvents(url: string, headers: Readonly<Record<string, string>> = {}): Promise<EventReader> {
  const closing = new AbortController();
  const response = await request(url, { headers: { ...headers }, signal: closing.signal });
  const events: SseEvent[] = [];
  const listeners = new Set<() => void>();
  let hasEnded = false;
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const read = async (): Promise<void> => {
    let text = '';
    for await (const chunk of response.body) {
      text += String(chunk);
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      events.push(...blocks.flatMap(eventOf));
      tell();
    }
  };
  const ended = read()
    .catch(() => undefined) // closed by the test
    .then(() => {
      hasEnded = true;
      tell();
    });
  return {
    status: response.statusCode,
    headers: response.headers,
    events,
    ended,
    until: async (fits) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = events.find(fits);
          if (found === undefined && !hasEnded) return;
          listeners.delete(look);
          if (found !== undefined) resolve(found);
          else reject(new Error(`The stream ended after ${JSON.stringify(events)}`));
        };
        listeners.add(look);
        look();
      }),
    close: () => {
      closing.abort();
    },
  };
}

function eventOf(block: string): SseEvent[] {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? null;
  const data = field('data');
  if (data === null) return [];
  return [{ id: field('id'), event: field('event') ?? 'message', data: JSON.parse(data) as SseEvent['data'] }];
}
