import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { EmbeddedError } from '../embedded-error.js';

/** Sizes and signatures of the ZIP format (APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16). */
const END = { bytes: 22, signature: 0x06054b50 };
const ENTRY = { bytes: 46, signature: 0x02014b50 };
const LOCAL = { bytes: 30, signature: 0x04034b50 };
const STORED = 0;

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly packedBytes: number;
  readonly offset: number;
}

/** Writes one member of a zip archive to a file. The archive must have been checked: sizes in it are believed. */
export async function extractFromZip(archive: string, member: string, target: string): Promise<void> {
  const entry = await entryOf(archive, member);
  const start = entry.offset;
  await pipeline(
    createReadStream(archive, { start, end: start + entry.packedBytes - 1 }),
    entry.method === STORED ? new PassThrough() : createInflateRaw(),
    createWriteStream(target),
  );
}

async function entryOf(archive: string, member: string): Promise<Entry> {
  const file = await open(archive);
  try {
    const { size } = await file.stat();
    const end = await read(file, { ...END, at: size - END.bytes });
    const directory = { bytes: end.readUInt32LE(12), signature: ENTRY.signature, at: end.readUInt32LE(16) };
    const entry = entriesIn(await read(file, directory)).find(({ name }) => name === member);
    if (entry === undefined) throw new EmbeddedError(`${archive} does not contain ${member}`);
    const local = await read(file, { ...LOCAL, at: entry.offset });
    return { ...entry, offset: entry.offset + LOCAL.bytes + local.readUInt16LE(26) + local.readUInt16LE(28) };
  } finally {
    await file.close();
  }
}

async function read(
  file: FileHandle,
  { at, bytes, signature }: { readonly at: number; readonly bytes: number; readonly signature: number },
): Promise<Buffer> {
  const part = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(part, 0, bytes, Math.max(0, at));
  if (bytesRead < bytes || part.readUInt32LE(0) !== signature) throw new EmbeddedError('the archive is not a zip file');
  return part;
}

function entriesIn(directory: Buffer): readonly Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + ENTRY.bytes <= directory.length;) {
    const nameBytes = directory.readUInt16LE(at + 28);
    entries.push({
      name: directory.toString('utf8', at + ENTRY.bytes, at + ENTRY.bytes + nameBytes),
      method: directory.readUInt16LE(at + 10),
      packedBytes: directory.readUInt32LE(at + 20),
      offset: directory.readUInt32LE(at + 42),
    });
    at += ENTRY.bytes + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}
