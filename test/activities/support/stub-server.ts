import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server as TcpServer, Socket } from 'node:net';

/** Something on a real port that is no ComfyUI, or only the part of one that a test needs. */
export interface StubServer {
  readonly url: string;
  readonly port: number;
  /** Method and path with query of every request, in the order in which they came. */
  readonly requests: readonly string[];
  readonly close: () => Promise<void>;
}

const open: StubServer[] = [];

export async function startStub(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  port = 0,
): Promise<StubServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    answer(request, response);
  });
  await listening(server, port);
  return register({
    ...placeOf(server),
    requests,
    close: async () => {
      server.closeAllConnections();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  });
}

/** A TCP proxy in front of a ComfyUI; `shouldCut` sees what the client sends and says when the line is cut after it. */
export async function startCuttingProxy(targetPort: number, shouldCut: (sent: string) => boolean): Promise<StubServer> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1');
    sockets.add(client).add(upstream);
    let isCut = false;
    let sent = '';
    client.on('data', (chunk: Buffer) => {
      sent += chunk.toString('latin1');
      isCut ||= shouldCut(sent);
      upstream.write(chunk);
    });
    // The request went through; the answer is what gets lost.
    upstream.on('data', (chunk: Buffer) => (isCut ? client.destroy() : client.write(chunk)));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
  });
  await listening(server, 0);
  return register({
    ...placeOf(server),
    requests: [],
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  });
}

/** A port on which nothing listens. */
export async function freePort(): Promise<number> {
  const server = createTcpServer();
  await listening(server, 0);
  const { port } = placeOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** For `afterEach`. */
export async function closeStubs(): Promise<void> {
  await Promise.all(open.splice(0).map(async (stub) => stub.close()));
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function sendPage(response: ServerResponse, status = 200): void {
  response.writeHead(status, { 'content-type': 'text/html' }).end('<!DOCTYPE html><title>Log in</title>');
}

export function systemStats(version: string, device: object | null = null): object {
  return {
    system: { os: 'linux', comfyui_version: version },
    devices: device === null ? [] : [device],
  };
}

function register(stub: StubServer): StubServer {
  open.push(stub);
  return stub;
}

async function listening(server: Server | TcpServer, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

function placeOf(server: Server | TcpServer): { readonly url: string; readonly port: number } {
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port };
}
