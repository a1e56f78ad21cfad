import type { Readable } from 'node:stream';
import { z } from 'zod';
import type { ObjectStore } from '../storage/object-store.js';

/** A file of the caller's in what goes to fal.ai; its bytes are put in when it is sent, so that they are stored once. */
export const falFileSchema = z.strictObject({ inputFile: z.string(), mediaType: z.string() });
export type FalFile = z.infer<typeof falFileSchema>;

/** fal takes data URIs for files; larger ones would make the request itself fail. */
export const MAX_EMBEDDED_BYTES = 10 * 1024 * 1024;

type Input = Readonly<Record<string, unknown>>;

/** The input with every file as a data URI, so that nothing of the store has to be reachable from outside. */
export async function embedFiles(input: Input, store: Pick<ObjectStore, 'open'>): Promise<Input> {
  const entries = Object.entries(input).map(async ([field, value]) => [field, await embedded(value, store)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

async function embedded(value: unknown, store: Pick<ObjectStore, 'open'>): Promise<unknown> {
  const file = falFileSchema.safeParse(value).data;
  if (file !== undefined) return dataUri(file, await store.open(file.inputFile));
  if (Array.isArray(value)) return Promise.all(value.map(async (each: unknown) => embedded(each, store)));
  if (typeof value !== 'object' || value === null) return value;
  return embedFiles(value as Input, store);
}

async function dataUri({ inputFile, mediaType }: FalFile, stream: Readable): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_EMBEDDED_BYTES) throw new Error(`${inputFile} is larger than what was accepted for fal.ai`);
    chunks.push(chunk);
  }
  return `data:${mediaType};base64,${Buffer.concat(chunks).toString('base64')}`;
}
