import { createServer, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface GuardingProxy {
  readonly port: number;
  /** What was asked for without credentials. */
  readonly refused: () => readonly string[];
  /** Handshakes of websockets that were let through. */
  readonly sockets: () => number;
  readonly close: () => Promise<void>;
}

/** A reverse proxy in front of one server that answers 401 to whatever `isAllowed` does not like. */
export async function startGuardingProxy(
  target: { readonly port: number },
  isAllowed: (incoming: IncomingMessage) => boolean,
): Promise<GuardingProxy> {
  const refused: string[] = [];
  const open = new Set<Socket>();
  let sockets = 0;
  const server = createServer((incoming, answer) => {
    if (!isAllowed(incoming)) {
      refused.push(incoming.url ?? '');
      answer.writeHead(401).end('credentials, please');
      return;
    }
    const { method, headers, url: path } = incoming;
    const onward = request({ host: '127.0.0.1', port: target.port, method, headers, path }, (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    if (!isAllowed(incoming)) {
      refused.push(incoming.url ?? '');
      socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
      return;
    }
    sockets += 1;
    const onward = connect(target.port, '127.0.0.1', () => {
      const lines = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${String(value)}`);
      onward.write(`GET ${incoming.url ?? '/'} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    for (const end of [socket, onward]) end.on('error', () => undefined);
    open.add(socket);
    open.add(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    refused: () => refused,
    sockets: () => sockets,
    close: async () => {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}
