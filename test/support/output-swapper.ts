import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** How a file is spoiled: what is sent in place of it, and how. */
export interface Spoil {
  readonly name: string;
  readonly body: (file: Buffer) => Buffer;
  /** Sent in place of what belongs to that body. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sends it in another way than whole; `times`: how often it was asked for before. */
  readonly send?: (answer: SpoiltAnswer, times: number) => void;
  /** The names under which ComfyUI's history has it. */
  readonly rename?: { readonly filename: string; readonly subfolder?: string };
}

export interface SpoiltAnswer {
  readonly outgoing: ServerResponse;
  readonly body: Buffer;
  readonly contentType: string;
}

/** Stands in front of a ComfyUI, or of fal.ai, and passes everything on, but for the files. */
export interface OutputSwapper {
  readonly url: string;
  /** How often each generation's (on fal.ai: each request's) files were asked for. */
  readonly views: ReadonlyMap<string, number>;
  /** What each of them met. */
  readonly met: ReadonlyMap<string, Spoil>;
  readonly close: () => Promise<void>;
}

/** Whose file a path asks for, `null` when it asks for none. */
export type OwnerOf = (path: string) => string | null;

/** The id of a generation. */
export const ownerOnComfyUI: OwnerOf = (path) => {
  const url = new URL(path, 'http://localhost');
  if (!url.pathname.endsWith('/view')) return null;
  return generationIn(url.searchParams.get('subfolder') ?? '');
};

/** The id of a request. */
export const ownerOnFal: OwnerOf = (path) => /^\/files\/([^/]+)\//.exec(path)?.[1] ?? null;

function generationIn(text: string): string | null {
  return /gen_[0-9a-f]+/.exec(text)?.[0] ?? null;
}

/** Each whose file is asked for the first time gets the next spoil, for good. */
export async function startOutputSwapper(
  targetUrl: string,
  spoils: readonly Spoil[],
  ownerOf: OwnerOf = ownerOnComfyUI,
): Promise<OutputSwapper> {
  const target = new URL(targetUrl);
  const left = [...spoils];
  const areNamesSpoilt = spoils.some(({ rename }) => rename !== undefined);
  const views = new Map<string, number>();
  const met = new Map<string, Spoil>();
  const sockets = new Set<Socket>();
  const spoilOf = (owner: string): Spoil | undefined => {
    const spoil = met.get(owner) ?? left.shift();
    if (spoil !== undefined) met.set(owner, spoil);
    return spoil;
  };
  const server = createServer((incoming, outgoing) => {
    const upstream = httpRequest(
      {
        host: target.hostname,
        port: target.port,
        path: incoming.url,
        method: incoming.method,
        headers: incoming.headers,
      },
      (answer) => {
        const path = incoming.url ?? '';
        if (areNamesSpoilt && /\/(jobs|history)\/[^/]+$/.test(path)) {
          void whole(answer).then((text) => passOn(answer, outgoing, renamed(text.toString(), spoilOf)));
          return;
        }
        const owner = ownerOf(path);
        const spoil = owner === null ? undefined : spoilOf(owner);
        if (owner === null || spoil === undefined || spoil.rename !== undefined) {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
          return;
        }
        const times = views.get(owner) ?? 0;
        views.set(owner, times + 1);
        void whole(answer).then((file) => spoiled(answer, outgoing, { spoil, file, times }));
      },
    );
    upstream.on('error', () => outgoing.destroy());
    incoming.pipe(upstream);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    const upstream = connect(Number(target.port), target.hostname, () => {
      const lines = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${String(value)}`);
      upstream.write(`${incoming.method ?? 'GET'} ${incoming.url ?? '/'} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    sockets.add(upstream);
    for (const each of [upstream, socket]) each.on('error', () => [upstream, socket].forEach((end) => end.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ views, met },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function whole(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function passOn(answer: IncomingMessage, outgoing: ServerResponse, body: string): void {
  const headers = { ...answer.headers, 'content-length': String(Buffer.byteLength(body)) };
  outgoing.writeHead(answer.statusCode ?? 502, headers);
  outgoing.end(body);
}

/** What ComfyUI says of a prompt that has ended, with the names that its files are to have. */
function renamed(text: string, spoilOf: (owner: string) => Spoil | undefined): string {
  const owner = text.includes('"filename"') ? generationIn(text) : null;
  const rename = owner === null ? undefined : spoilOf(owner)?.rename;
  if (rename === undefined) return text;
  return JSON.stringify(JSON.parse(text), (_key, value: unknown) =>
    typeof value === 'object' && value !== null && 'filename' in value ? { ...value, ...rename } : value,
  );
}

function spoiled(
  answer: IncomingMessage,
  outgoing: ServerResponse,
  { spoil, file, times }: { readonly spoil: Spoil; readonly file: Buffer; readonly times: number },
): void {
  const body = spoil.body(file);
  const contentType = String(answer.headers['content-type'] ?? 'application/octet-stream');
  if (spoil.send !== undefined) {
    spoil.send({ outgoing, body, contentType }, times);
    return;
  }
  outgoing.writeHead(200, {
    ...{ 'Content-Type': contentType, 'Content-Length': String(body.length) },
    ...spoil.headers,
  });
  outgoing.end(body);
}
