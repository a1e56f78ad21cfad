import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Transform } from 'node:stream';

/** What becomes of the upload of one result. */
export type UploadFault =
  /** Refused once the whole file has arrived. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  /** The connection breaks on both sides after so many bytes of the file. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** One byte arrives as another. */
  | { readonly kind: 'flip' }
  /** Confirmed, but never stored. */
  | { readonly kind: 'lose' }
  /** Stored, then something else happens to the object before it is confirmed. */
  | { readonly kind: 'then'; readonly act: (key: string) => Promise<void> }
  | { readonly kind: 'slow'; readonly pauseMs: number };

export interface PlannedFault {
  readonly name: string;
  readonly fault: UploadFault;
  /** How many uploads of that generation meet it. */
  readonly times: number;
}

/** Stands in front of an object store and passes everything on but the uploads of results. */
export interface StoreProxy {
  readonly url: string;
  /** Which generation met what. */
  readonly met: ReadonlyMap<string, string>;
  readonly uploads: ReadonlyMap<string, number>;
  readonly close: () => Promise<void>;
}

/** What was passed on leaves first. */
const CUT_AFTER_MS = 50;

/** Each generation that stores a result for the first time gets the next fault. */
export async function startStoreProxy(storeUrl: URL, planned: readonly PlannedFault[]): Promise<StoreProxy> {
  const left = [...planned];
  const faults = new Map<string, PlannedFault>();
  const uploads = new Map<string, number>();
  const met = new Map<string, string>();
  const sockets = new Set<Socket>();
  const faultOf = (generationId: string): UploadFault | null => {
    const next = faults.get(generationId) ?? left.shift();
    const count = (uploads.get(generationId) ?? 0) + 1;
    uploads.set(generationId, count);
    if (next === undefined) return null;
    faults.set(generationId, next);
    met.set(next.name, generationId);
    return count <= next.times ? next.fault : null;
  };
  const server = createServer((incoming, outgoing) => {
    const generationId = /\/jobs\/(gen_[0-9a-f]+)\//.exec(incoming.url ?? '')?.[1];
    const isUpload = incoming.method === 'PUT' && generationId !== undefined;
    handle({ incoming, outgoing, storeUrl }, isUpload ? faultOf(generationId) : null);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ met, uploads },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly storeUrl: URL;
}

function handle(exchange: Exchange, fault: UploadFault | null): void {
  const { incoming, outgoing } = exchange;
  switch (fault?.kind) {
    case 'answer':
      incoming.resume().once('end', () => outgoing.writeHead(fault.status).end(fault.body));
      return;
    case 'lose':
      incoming.resume().once('end', () => outgoing.writeHead(200, { ETag: '"0"' }).end());
      return;
    case 'cut':
    case 'flip':
    case 'slow':
      passOn(exchange, { through: changed(fault, () => incoming.socket.destroy()) });
      return;
    case 'then':
      passOn(exchange, { before: async () => fault.act(keyOf(incoming)) });
      return;
    case undefined:
      passOn(exchange, {});
  }
}

function passOn(
  { incoming, outgoing, storeUrl }: Exchange,
  { through, before }: { readonly through?: Transform; readonly before?: () => Promise<void> },
): void {
  const { method, url: path, headers } = incoming;
  const target = { host: storeUrl.hostname, port: storeUrl.port };
  const upstream = httpRequest({ ...target, method, path, headers }, (answer) => {
    const deliver = () => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    };
    if (before === undefined) deliver();
    else void before().then(deliver);
  });
  upstream.on('error', () => outgoing.destroy());
  outgoing.on('close', () => {
    if (!outgoing.writableEnded) upstream.destroy();
  });
  (through === undefined ? incoming : incoming.pipe(through)).pipe(upstream);
}

function changed(fault: Extract<UploadFault, { kind: 'cut' | 'flip' | 'slow' }>, cut: () => void): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const isFirst = bytes === 0;
      const rest = fault.kind === 'cut' ? fault.afterBytes - bytes : chunk.length;
      bytes += chunk.length;
      if (fault.kind === 'flip' && isFirst) chunk[0] = (chunk[0] ?? 0) ^ 1;
      if (rest < chunk.length) {
        this.push(chunk.subarray(0, rest));
        setTimeout(cut, CUT_AFTER_MS);
      } else if (fault.kind === 'slow') setTimeout(done, fault.pauseMs, null, chunk);
      else done(null, chunk);
    },
  });
}

/** Path-style: what follows the bucket. */
function keyOf({ url = '' }: IncomingMessage): string {
  return decodeURIComponent(new URL(url, 'http://localhost').pathname.split('/').slice(2).join('/'));
}
