import { createHash } from 'node:crypto';
import { isRecord } from './is-record.js';
import type { Json } from './prompt-history.js';

/** The output of a node, each file with the id of its asset (ComfyUI of 2026); a picture is its own preview. */
export function withAssetIds(output: Json): Json {
  return Object.fromEntries(
    Object.entries(output).map(([key, items]) => [key, Array.isArray(items) ? items.map(withAssetId) : items]),
  );
}

function withAssetId(item: unknown): unknown {
  if (!isRecord(item) || !('filename' in item)) return item;
  const place = [item['type'], item['subfolder'], item['filename']].join('/');
  const hash = createHash('sha256').update(place).digest('hex');
  const id = [hash.slice(0, 8), hash.slice(8, 12), hash.slice(12, 16), hash.slice(16, 20), hash.slice(20, 32)].join(
    '-',
  );
  return { ...item, id, preview_id: id };
}
