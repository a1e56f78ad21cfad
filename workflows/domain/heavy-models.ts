import { isModelFile } from './classify-execution-error.js';
import type { ApiGraph } from './graph.js';

/** Inputs that name gigabytes whatever the loader: a ComfyUI that has them in memory is worth waiting for. */
const HEAVY_INPUT = /^(ckpt|unet|diffusion_model)_?name\d*$/;
/** Loaders of custom nodes have other names for the same: `WanVideoModelLoader.model`, `NunchakuFluxDiTLoader.model_path`. */
const HEAVY_LOADER = /(checkpoint|diffusion|unet|dit|video).*load|load.*(checkpoint|diffusion|unet|dit|videomodel)/i;
const HEAVY_LOADER_INPUT = /^model(_?(name|path))?\d*$/;

/** The files of a graph that take long to load and most of a card: checkpoints and diffusion models, sorted and distinct. */
export function heavyModelsOf(graph: ApiGraph): readonly string[] {
  const files = Object.values(graph).flatMap(({ class_type: type, inputs }) =>
    Object.entries(inputs).flatMap(([input, value]) =>
      isHeavyInput(type, input) && isModelFile(value) ? [value] : [],
    ),
  );
  return [...new Set(files)].sort();
}

function isHeavyInput(type: string, input: string): boolean {
  return HEAVY_INPUT.test(input) || (HEAVY_LOADER_INPUT.test(input) && HEAVY_LOADER.test(type));
}

const PLAIN = /^[A-Za-z0-9._-]+$/;
/** Temporal allows a thousand bytes for a name; people read it. */
const MAX_KEY_CHARS = 120;

/**
 * Stands for a set of heavy models in the name of a Task Queue: their names joined by `+`. Names with other characters, and
 * very long ones, are shortened and told apart by a number; `null` without models.
 */
export function modelKeyOf(models: readonly string[]): string | null {
  if (models.length === 0) return null;
  const key = models.map((model) => model.replace(/[^A-Za-z0-9._-]+/g, '_')).join('+');
  if (key.length <= MAX_KEY_CHARS && models.every((model) => PLAIN.test(model))) return key;
  return `${key.slice(0, MAX_KEY_CHARS)}~${fnv1a(models.join('\n'))}`;
}

/** 32 bits of FNV-1a over UTF-16 code units, as hex: only to tell names apart. */
function fnv1a(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}
