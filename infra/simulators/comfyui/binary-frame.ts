import type { Json } from './prompt-history.js';

/** Event types of binary frames (ComfyUI 0.8.0, protocol.py); 2 never goes over the wire. */
const PREVIEW_IMAGE = 1;
const TEXT = 3;
const PREVIEW_IMAGE_WITH_METADATA = 4;
const JPEG = 1;

/** Type 1: for clients that did not negotiate `supports_preview_metadata`; says neither prompt nor node. */
export function plainPreviewFrame(jpeg: Buffer): Buffer {
  return Buffer.concat([uint32(PREVIEW_IMAGE), uint32(JPEG), jpeg]);
}

/** Type 4. */
export function previewFrame(metadata: Json, jpeg: Buffer): Buffer {
  const json = Buffer.from(JSON.stringify({ ...metadata, image_type: 'image/jpeg' }));
  return Buffer.concat([uint32(PREVIEW_IMAGE_WITH_METADATA), uint32(json.length), json, jpeg]);
}

/** Type 3. */
export function textFrame(nodeId: string, text: string): Buffer {
  const id = Buffer.from(nodeId);
  return Buffer.concat([uint32(TEXT), uint32(id.length), id, Buffer.from(text)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
