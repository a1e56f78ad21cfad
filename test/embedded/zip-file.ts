import { crc32, deflateRawSync } from 'node:zlib';

/** A zip archive with these members, as wheels are: deflated, without a comment. */
export function zipFile(members: Readonly<Record<string, string>>): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(members)) {
    const packed = deflateRawSync(content);
    const local = Buffer.concat([header(0x04034b50, 30, 4), Buffer.from(name)]);
    const entry = Buffer.concat([header(0x02014b50, 46, 6), Buffer.from(name)]);
    for (const [part, at] of [
      [local, 8],
      [entry, 10],
    ] as const) {
      part.writeUInt16LE(8, at); // deflated
      part.writeUInt32LE(crc32(content), at + 6);
      part.writeUInt32LE(packed.length, at + 10);
      part.writeUInt32LE(Buffer.byteLength(content), at + 14);
      part.writeUInt16LE(Buffer.byteLength(name), at + 18);
    }
    entry.writeUInt32LE(offset, 42);
    files.push(local, packed);
    directory.push(entry);
    offset += local.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...files, ...directory, end]);
}

function header(signature: number, bytes: number, versionAt: number): Buffer {
  const part = Buffer.alloc(bytes);
  part.writeUInt32LE(signature, 0);
  part.writeUInt16LE(20, versionAt);
  return part;
}
