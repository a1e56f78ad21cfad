import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../runtime/project-root.js';
import { isRecord } from './is-record.js';

/** `[type, options?]`; an old-style COMBO has its option list in place of the type. */
export type InputSpec = readonly [unknown, Readonly<Record<string, unknown>>?];

/** One class of GET /object_info (recorded: object_info_full.json); what the simulator does not read stays as it came. */
export interface ClassInfo {
  readonly input: Readonly<Record<string, Readonly<Record<string, InputSpec>>>>;
  readonly output: readonly unknown[];
  readonly output_node: boolean;
  readonly [field: string]: unknown;
}

export type ObjectInfo = ReadonlyMap<string, ClassInfo>;
export type ModelNames = Readonly<Record<string, readonly string[]>>;

const FOLDER = join(projectRoot, 'infra', 'simulators', 'comfyui', 'data');

/** The models of the recorded server (recorded: models_checkpoints.json). */
const RECORDED_MODELS: ModelNames = { checkpoints: ['v1-5-pruned-emaonly.safetensors'], vae: ['pixel_space'] };

/** Which folder an input's names come from, where the input's name alone does not say it. */
const FOLDER_OF_CLASS: Readonly<Record<string, string>> = {
  CLIPVisionLoader: 'clip_vision',
  UpscaleModelLoader: 'upscale_models',
  LatentUpscaleModelLoader: 'latent_upscale_models',
  ModelPatchLoader: 'model_patches',
};
const FOLDER_OF_INPUT: Readonly<Record<string, string>> = {
  ckpt_name: 'checkpoints',
  lora_name: 'loras',
  vae_name: 'vae',
  unet_name: 'diffusion_models',
  clip_name: 'text_encoders',
  control_net_name: 'controlnet',
  style_model_name: 'style_models',
  gligen_name: 'gligen',
  hypernetwork_name: 'hypernetworks',
  photomaker_model_name: 'photomaker',
  ipadapter_file: 'ipadapter',
};

/** Classes and model names a simulator offers: the recorded ones, with `full` also those added for our own graphs. */
export function loadCatalogue(catalogue: 'full' | 'recorded'): { classes: ObjectInfo; models: ModelNames } {
  const recorded = classesIn('object-info.json');
  if (catalogue === 'recorded') return { classes: new Map(recorded), models: RECORDED_MODELS };
  const models = merged(RECORDED_MODELS, namesIn('models.json'));
  const classes = [...recorded, ...classesIn('custom-nodes.json')];
  return { classes: new Map(classes.map(([name, info]) => [name, withModels(name, info, models)])), models };
}

/** The declared inputs of a class in order; hidden ones are the server's own. */
export function inputSpecs(info: ClassInfo): { name: string; required: boolean; spec: InputSpec }[] {
  return (['required', 'optional'] as const).flatMap((section) =>
    Object.entries(info.input[section] ?? {}).map(([name, spec]) => ({ name, required: section === 'required', spec })),
  );
}

/** A class that no longer offers this file. */
export function withoutModel(
  className: string,
  info: ClassInfo,
  { folder, filename }: { readonly folder: string; readonly filename: string },
): ClassInfo {
  return withSpecs(info, (name, spec) => (folderOf(className, name) === folder ? withoutName(spec, filename) : spec));
}

function withModels(className: string, info: ClassInfo, models: ModelNames): ClassInfo {
  return withSpecs(info, (name, spec) => withNames(spec, models[folderOf(className, name)] ?? []));
}

function withSpecs(info: ClassInfo, change: (name: string, spec: InputSpec) => InputSpec): ClassInfo {
  const input = Object.fromEntries(
    Object.entries(info.input).map(([section, specs]) => [
      section,
      Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, change(name, spec)])),
    ]),
  );
  return { ...info, input };
}

function withoutName([type, options = {}]: InputSpec, filename: string): InputSpec {
  const kept = (names: readonly unknown[]) => names.filter((name) => name !== filename);
  if (Array.isArray(type)) return [kept(type as readonly unknown[]), options];
  const known: unknown = options['options'];
  return [type, Array.isArray(known) ? { ...options, options: kept(known as readonly unknown[]) } : options];
}

/** The folder of the file an input names; empty for an input that names none. */
export function folderOf(className: string, inputName: string): string {
  const byClass = FOLDER_OF_CLASS[className];
  if (byClass !== undefined && inputName.includes('name')) return byClass;
  return FOLDER_OF_INPUT[inputName.replace(/\d$/, '')] ?? '';
}

function withNames(spec: InputSpec, names: readonly string[]): InputSpec {
  if (names.length === 0) return spec;
  const [type, options = {}] = spec;
  if (Array.isArray(type)) return [unique([...(type as readonly unknown[]), ...names]), options];
  if (type !== 'COMBO') return spec;
  const known: unknown = options['options'];
  return [
    type,
    { ...options, options: unique([...(Array.isArray(known) ? (known as readonly unknown[]) : []), ...names]) },
  ];
}

function merged(one: ModelNames, other: ModelNames): ModelNames {
  const folders = unique([...Object.keys(one), ...Object.keys(other)]);
  return Object.fromEntries(
    folders.map((folder) => [folder, unique([...(one[folder] ?? []), ...(other[folder] ?? [])])]),
  );
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function classesIn(file: string): [string, ClassInfo][] {
  // The one parse boundary: the file is ComfyUI's own answer, kept as recorded.
  return Object.entries(JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Record<string, ClassInfo>);
}

function namesIn(file: string): ModelNames {
  const document: unknown = JSON.parse(readFileSync(join(FOLDER, file), 'utf8'));
  const folders = Object.entries(isRecord(document) ? document : {});
  return Object.fromEntries(
    folders.flatMap(([folder, names]) => (Array.isArray(names) ? [[folder, names.map(String)]] : [])),
  );
}
