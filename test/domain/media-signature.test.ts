import { deflateSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { inspectImageSignature } from '../../workflows/domain/media-signature.js';

const PNG = Buffer.concat([
  Buffer.from('89504e470d0a1a0a', 'hex'),
  Buffer.from('0000000d49484452000000010000000108000000003a7e9b55', 'hex'),
  deflateSync(Buffer.from([0, 0])),
  Buffer.from('0000000049454e44ae426082', 'hex'),
]);

const inspect = (bytes: Uint8Array) => inspectImageSignature(bytes, bytes);

describe('R3.2 Signatures', () => {
  test.each([
    ['image/png', 'png', PNG],
    ['image/jpeg', 'jpg', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0])],
    ['image/gif', 'gif', Buffer.from('GIF89a;')],
    ['image/webp', 'webp', Buffer.from('RIFF\u0001\u0002\u0003\u0004WEBPVP8 ')],
  ])('%s is known by its first bytes and gets the extension %s', (mediaType, extension, bytes) => {
    expect(inspect(bytes)).toEqual({ ok: true, mediaType, extension });
  });

  test('no bytes at all are an empty file', () => {
    expect(inspect(new Uint8Array())).toEqual({ ok: false, fault: 'empty' });
  });

  test.each([1, 4, 11, 12])('a PNG that lacks its last %i bytes is truncated', (missing) => {
    expect(inspect(PNG.subarray(0, -missing))).toEqual({ ok: false, fault: 'truncated' });
  });

  test.each([1, 5, 500])('a PNG with %i bytes after its end has trailing bytes', (extra) => {
    const bytes = Buffer.concat([PNG, Buffer.alloc(extra, 'x')]);
    expect(inspect(bytes)).toEqual({ ok: false, fault: 'trailing_bytes' });
  });

  test('a GIF without its last byte is truncated', () => {
    expect(inspect(Buffer.from('GIF89a'))).toEqual({ ok: false, fault: 'truncated' });
  });

  test('a PNG is judged by the end that it is given, not by its beginning', () => {
    expect(inspectImageSignature(PNG.subarray(0, 16), PNG.subarray(-12))).toMatchObject({ ok: true });
    expect(inspectImageSignature(PNG, PNG.subarray(-12, -1))).toEqual({ ok: false, fault: 'truncated' });
  });

  test.each([
    ['an HTML page', '<!DOCTYPE html><html><body>Login</body></html>'],
    ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['JSON', '{"error":"Job not found"}'],
    ['another RIFF file', 'RIFF\u0001\u0002\u0003\u0004WAVEfmt '],
    ['a PNG that has lost its first byte', 'PNG\r\n\u001a\n'],
    ['half a signature', '\u0000'],
  ])('%s is no image', (_what, text) => {
    expect(inspect(Buffer.from(text, 'latin1'))).toEqual({ ok: false, fault: 'unknown_signature' });
  });
});
