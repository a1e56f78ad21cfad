import type { Input } from 'mediabunny';
import { MediaFaultError } from './media-verdict.js';

/** CRC-16 of a FLAC frame, its last two bytes: this polynomial, initial value 0 (RFC 9639, 9.3). */
const POLYNOMIAL = 0x8005;
const TABLE = Uint16Array.from({ length: 256 }, (_, index) => {
  let value = index << 8;
  for (let bit = 0; bit < 8; bit += 1) value = value & 0x8000 ? (value << 1) ^ POLYNOMIAL : value << 1;
  return value;
});

/** A frame over itself and its checksum leaves nothing; any other is damaged or cut. Throws `MediaFaultError`. */
export async function checkFlacFrames(input: Input): Promise<void> {
  const { EncodedPacketSink } = await import('mediabunny');
  const track = await input.getPrimaryAudioTrack();
  if (track === null) return;
  for await (const { data, timestamp } of new EncodedPacketSink(track).packets()) {
    if (remainderOf(data) !== 0) {
      throw new MediaFaultError('undecodable', `the samples at ${timestamp.toFixed(2)} s have another checksum`);
    }
  }
}

function remainderOf(frame: Uint8Array): number {
  let value = 0;
  for (const byte of frame) value = ((value << 8) & 0xffff) ^ (TABLE[(value >> 8) ^ byte] ?? 0);
  return value;
}
