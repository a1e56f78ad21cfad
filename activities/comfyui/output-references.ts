import { z } from 'zod';
import type { OutputReference } from '../../workflows/contracts/activities.js';
import type { OutputKind } from '../../workflows/contracts/generation.js';

const fileSchema = z.looseObject({
  filename: z.string().min(1),
  subfolder: z.string().default(''),
  type: z.string().default('output'),
});

const KIND_BY_EXTENSION: Readonly<Record<string, OutputKind>> = {
  ...Object.fromEntries(
    ['png', 'jpg', 'jpeg', 'webp', 'gif', 'avif', 'bmp', 'tif', 'tiff'].map((e) => [e, 'image' as const]),
  ),
  ...Object.fromEntries(['mp4', 'webm', 'mov', 'mkv', 'avi'].map((e) => [e, 'video' as const])),
  ...Object.fromEntries(['flac', 'mp3', 'opus', 'ogg', 'wav', 'm4a'].map((e) => [e, 'audio' as const])),
  latent: 'latent',
  txt: 'text',
};

/**
 * Every file and text of a finished prompt, in the order of the nodes, under whatever key it is reported: video comes
 * as `images`, `gifs` or `video`. The kind follows from the name, because the key does not tell. Files of type `temp`
 * are previews that ComfyUI wipes, and are skipped.
 */
export function outputReferencesOf(
  outputs: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  texts: Readonly<Record<string, readonly string[]>>,
): readonly OutputReference[] {
  const nodeIds = Object.keys(outputs).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return nodeIds.flatMap((nodeId) => [
    ...filesOf(outputs[nodeId] ?? {}).map((file) => ({ nodeId, kind: kindOf(file.filename), file, textIndex: 0 })),
    ...(texts[nodeId] ?? []).map((_, textIndex) => ({ nodeId, kind: 'text' as const, file: null, textIndex })),
  ]);
}

function filesOf(byKey: Readonly<Record<string, unknown>>) {
  return Object.values(byKey)
    .flatMap((items) => (Array.isArray(items) ? (items as readonly unknown[]) : []))
    .flatMap((item) => {
      const file = fileSchema.safeParse(item).data; // `animated: [true]` and custom nodes' own items are no files
      return file === undefined || file.type === 'temp'
        ? []
        : [{ filename: file.filename, subfolder: file.subfolder, type: file.type }];
    });
}

function kindOf(filename: string): OutputKind {
  return KIND_BY_EXTENSION[filename.slice(filename.lastIndexOf('.') + 1).toLowerCase()] ?? 'file';
}
