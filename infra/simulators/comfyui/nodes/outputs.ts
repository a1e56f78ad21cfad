import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRecord } from '../is-record.js';
import type { FileType } from '../file-store.js';
import type { NodeContext, NodeResult, NodeRunner } from '../node-runner.js';
import { withPngText } from '../png-text.js';
import { saveTargetOf } from '../save-target.js';
import { savedFiles } from '../saved-files.js';

/** Letters ComfyUI draws a temp suffix from: neither l, o nor m (nodes.py, PreviewImage). */
const SUFFIX_LETTERS = 'abcdefghijklnopqrstupvxyz';

/** Output nodes: what they leave is shown by `executed` and the history. */
export const outputNodes: Readonly<Record<string, NodeRunner>> = {
  SaveImage: async (context) =>
    saveImages(context, { type: 'output', prefix: context.inputs.text('filename_prefix', 'ComfyUI') }),
  PreviewImage: async (context) => saveImages(context, { type: 'temp', prefix: `ComfyUI_temp_${randomSuffix()}` }),
  PreviewAny: async ({ inputs }) => {
    const value = inputs.value('source');
    const text = typeof value === 'object' ? JSON.stringify(value, withoutBytes) : String(value);
    return { outputs: [], ui: { text: [text] } };
  },
};

async function saveImages(
  context: NodeContext,
  { type, prefix }: { readonly type: FileType; readonly prefix: string },
): Promise<NodeResult> {
  const image = context.inputs.image('images');
  const target = saveTargetOf(context.files, type, { prefix, widthPx: image.widthPx, heightPx: image.heightPx });
  const images = savedFiles(target, { count: image.frames.length, extension: 'png', type });
  const texts = pngTexts(context);
  images.forEach(({ filename }, index) => {
    const frame = image.frames[index];
    if (frame !== undefined) writeFileSync(join(target.folder, filename), withPngText(frame, texts));
  });
  return { outputs: [], ui: { images } };
}

function pngTexts({ graph, extraData }: NodeContext): Record<string, string> {
  const info = extraData['extra_pnginfo'];
  const extra = Object.entries(isRecord(info) ? info : {}).map(([name, value]) => [name, JSON.stringify(value)]);
  return { prompt: JSON.stringify(graph), ...(Object.fromEntries(extra) as Record<string, string>) };
}

function randomSuffix(): string {
  return Array.from({ length: 5 }, () => SUFFIX_LETTERS[Math.floor(Math.random() * SUFFIX_LETTERS.length)]).join('');
}

function withoutBytes(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array || (isRecord(value) && value['type'] === 'Buffer') ? 'tensor' : value;
}
