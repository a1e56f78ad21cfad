import WebSocket from 'ws';

export interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly text: string;
  readonly headers: Headers;
}

export interface SocketEvent {
  readonly type: string;
  readonly data: Record<string, unknown>;
}

/** One request; `body` is sent as JSON unless it is a string or a form. */
export async function call(url: string, body?: unknown, method?: string): Promise<HttpAnswer> {
  const isPlain = body === undefined || typeof body === 'string' || body instanceof FormData;
  const response = await fetch(url, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    ...(body !== undefined && { body: isPlain ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: parsedOr(text), text, headers: response.headers };
}

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A WebSocket client that keeps what it received. */
export class EventSession {
  readonly events: SocketEvent[] = [];
  readonly frames: Buffer[] = [];
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  #notify: () => void = () => undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (message: Buffer, isBinary: boolean) => {
      if (isBinary) this.frames.push(message);
      else this.events.push(JSON.parse(message.toString()) as SocketEvent);
      this.#notify();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', resolve);
    });
  }

  /** Connects and waits for the greeting. */
  static async open(url: string, clientId: string): Promise<EventSession> {
    const session = new EventSession(new WebSocket(`${url.replace('http', 'ws')}/ws?clientId=${clientId}`));
    await session.until(() => session.events.length > 0);
    return session;
  }

  send(frame: unknown): void {
    this.#socket.send(JSON.stringify(frame));
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
      });
    }
  }

  async untilEvent(type: string, matches: (data: Record<string, unknown>) => boolean = () => true): Promise<void> {
    await this.until(() => this.events.some((event) => event.type === type && matches(event.data)));
  }

  /** The prompt is over and its history is written. */
  async untilOver(promptId: string): Promise<void> {
    await this.untilEvent('executing', (data) => data['node'] === null && data['prompt_id'] === promptId);
  }

  ofType(type: string): Record<string, unknown>[] {
    return this.events.filter((event) => event.type === type).map((event) => event.data);
  }

  close(): void {
    this.#socket.terminate();
  }
}
