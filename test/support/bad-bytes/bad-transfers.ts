import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { MediaFault } from '../../../workflows/domain/media-signature.js';
import type { SpoiltAnswer } from '../output-swapper.js';
import { createRandom } from '../random.js';
import type { BadFile } from './bad-file.js';

const DRIP_MS = 50;
const ABOVE_THE_CAP = 5 * 1024 ** 3;
const BOMB_BYTES = 500_000_000;

/** Whole pictures that do not arrive whole. They come too slowly only where a download may take a few seconds. */
export function badTransfers(png: Buffer, seeds: readonly number[]): readonly BadFile[] {
  const { length } = png;
  const transfer = (name: string, faults: readonly MediaFault[], send: NonNullable<BadFile['send']>): BadFile => ({
    ...{ name, faults, send, body: () => png, template: 'strict-picture' },
  });
  const eachCut = (name: string, faults: readonly MediaFault[], sendTo: (at: number) => NonNullable<BadFile['send']>) =>
    seeds.map((seed) => {
      const at = 1 + Math.floor(createRandom(seed)() * (length - 2));
      return transfer(`${name}, at byte ${at}`, faults, sendTo(at));
    });
  const some: readonly MediaFault[] = ['truncated', 'unknown_signature'];
  const failed: readonly MediaFault[] = ['transfer_failed'];
  return [
    ...eachCut('the connection ends', failed, (at) => raw({ length, upTo: at, end: 'fin' })),
    ...eachCut('the connection is reset', failed, (at) => raw({ length, upTo: at, end: 'rst' })),
    ...eachCut('fewer bytes are announced', [...some, ...failed], (at) =>
      raw({ length: at, upTo: length, end: 'fin' }),
    ),
    ...eachCut('no length, the connection ends', some, (at) => raw({ length: null, upTo: at, end: 'fin' })),
    // Whether what was sent before the reset arrives is chance.
    ...eachCut('no length, the connection is reset', [...some, ...failed], (at) =>
      raw({ length: null, upTo: at, end: 'rst' }),
    ),
    ...eachCut('chunks without the last', failed, chunksUpTo),
    transfer('no bytes are announced', ['empty'], raw({ length: 0, upTo: length, end: 'fin' })),
    transfer('nothing comes behind the head', failed, raw({ length, upTo: 0, end: null })),
    transfer('it drips', failed, drip),
    coded('it is said to be packed', 'gzip', png),
    coded('it is packed', 'gzip', gzipSync(png)),
    coded('it is packed twice', 'gzip, gzip', gzipSync(gzipSync(png))),
    { ...coded('it is a bomb', 'gzip', gzipSync(Buffer.alloc(BOMB_BYTES), { level: 1 })), isBomb: true },
    coded('it is packed as nobody knows', 'x-unknown', png),
    { ...transfer('it is above the cap', [], raw({ length: ABOVE_THE_CAP, upTo: 100, end: null })), ...TOO_LARGE },
    transfer('it is not there', ['missing'], ({ outgoing }) => outgoing.writeHead(404).end('not found')),
  ];
}

const TOO_LARGE = { kind: 'OUTPUT_TOO_LARGE', isBomb: true } as const;

function coded(name: string, coding: string, body: Buffer): BadFile {
  const headers = { 'Content-Encoding': coding };
  return { name, faults: ['transfer_failed'], body: () => body, headers, template: 'strict-picture' };
}

interface RawAnswer {
  /** What `Content-Length` says, `null`: there is none. */
  readonly length: number | null;
  readonly upTo: number;
  /** `null`: the connection stays open. */
  readonly end: 'fin' | 'rst' | null;
}

/** Past Node's own HTTP, which would send nothing that does not fit together. */
function raw({ length, upTo, end }: RawAnswer): NonNullable<BadFile['send']> {
  return (answer) => {
    const socket = headTo(answer, length === null ? 'Connection: close' : `Content-Length: ${length}`);
    socket.write(answer.body.subarray(0, upTo), () => {
      if (end === 'fin') socket.end();
      if (end === 'rst') socket.resetAndDestroy();
    });
  };
}

function chunksUpTo(at: number): NonNullable<BadFile['send']> {
  return (answer) => {
    const socket = headTo(answer, 'Transfer-Encoding: chunked');
    socket.write(`${at.toString(16)}\r\n`);
    socket.write(answer.body.subarray(0, at));
    socket.end('\r\n');
  };
}

function drip(answer: SpoiltAnswer): void {
  const socket = headTo(answer, `Content-Length: ${answer.body.length}`);
  let sent = 0;
  const timer = setInterval(() => {
    socket.write(answer.body.subarray(sent, sent + 1));
    sent += 1;
  }, DRIP_MS);
  socket.once('close', () => {
    clearInterval(timer);
  });
}

function headTo({ outgoing, contentType }: SpoiltAnswer, header: string): Socket {
  const { socket } = outgoing;
  if (socket === null) throw new Error('Whoever asked has gone');
  socket.on('error', () => undefined);
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\n${header}\r\n\r\n`);
  return socket;
}
