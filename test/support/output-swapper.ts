import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** How the answer to `/view` is spoiled: what is sent in place of the file, and how. */
export interface Spoil {
  readonly name: string;
  readonly body: (file: Buffer) => Buffer;
  /** Sent in place of what belongs to that body. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Stands in front of a ComfyUI and passes everything on, but for the files. */
export interface OutputSwapper {
  readonly url: string;
  /** How often each generation's files were asked for. */
  readonly views: ReadonlyMap<string, number>;
  /** What each generation met. */
  readonly met: ReadonlyMap<string, Spoil>;
  readonly close: () => Promise<void>;
}

/** Each generation whose file is asked for the first time gets the next spoil, for good. */
export async function startOutputSwapper(comfyUrl: string, spoils: readonly Spoil[]): Promise<OutputSwapper> {
  const target = new URL(comfyUrl);
  const left = [...spoils];
  const views = new Map<string, number>();
  const met = new Map<string, Spoil>();
  const sockets = new Set<Socket>();
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
        const generationId = viewedGeneration(incoming.url ?? '');
        const spoil = generationId === null ? undefined : (met.get(generationId) ?? left.shift());
        if (generationId === null || spoil === undefined) {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
          return;
        }
        met.set(generationId, spoil);
        views.set(generationId, (views.get(generationId) ?? 0) + 1);
        spoiled(answer, outgoing, spoil);
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

function viewedGeneration(path: string): string | null {
  const url = new URL(path, 'http://localhost');
  return url.pathname.endsWith('/view')
    ? (/gen_[0-9a-f]+/.exec(url.searchParams.get('subfolder') ?? '')?.[0] ?? null)
    : null;
}

function spoiled(answer: IncomingMessage, outgoing: ServerResponse, { body, headers }: Spoil): void {
  const chunks: Buffer[] = [];
  answer.on('data', (chunk: Buffer) => chunks.push(chunk));
  answer.on('end', () => {
    const bytes = body(Buffer.concat(chunks));
    const type = String(answer.headers['content-type'] ?? 'application/octet-stream');
    outgoing.writeHead(200, { 'Content-Type': type, 'Content-Length': String(bytes.length), ...headers });
    outgoing.end(bytes);
  });
}
