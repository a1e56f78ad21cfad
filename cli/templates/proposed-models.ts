import type { ApiGraph } from '../../workflows/domain/graph.js';
import type { ProposedParameters } from './proposed-parameters.js';

/** ComfyUI's folder for the files that an input names; `clip_name1` and `lora_02` count as their stem. */
const FOLDERS: readonly (readonly [RegExp, string])[] = [
  [/^ckpt_name$/, 'checkpoints'],
  [/^unet_name$/, 'diffusion_models'],
  [/^clip_name\d?$/, 'text_encoders'],
  [/^vae_name$/, 'vae'],
  [/^lora(_name|_\d+)$/, 'loras'],
  [/^control_net_name$/, 'controlnet'],
  [/^style_model_name$/, 'style_models'],
];
const FOLDER_OF_CLASS: Readonly<Record<string, string>> = {
  UpscaleModelLoader: 'upscale_models',
  CLIPVisionLoader: 'clip_vision',
};

export interface ModelInput {
  readonly node: string;
  readonly input: string;
  readonly folder: string;
  readonly name: string;
}

/** Every input that names a model file. */
export function modelInputsOf(graph: ApiGraph): readonly ModelInput[] {
  return Object.entries(graph).flatMap(([node, { class_type: classType, inputs }]) =>
    Object.entries(inputs).flatMap(([input, name]) => {
      const byClass = input.includes('name') ? FOLDER_OF_CLASS[classType] : undefined;
      const folder = byClass ?? FOLDERS.find(([pattern]) => pattern.test(input))?.[1];
      return folder === undefined || typeof name !== 'string' ? [] : [{ node, input, folder, name }];
    }),
  );
}

/** The files that a backend needs: by the parameter that names them, or by name. */
export function proposedModels(graph: ApiGraph, parameters: ProposedParameters): readonly unknown[] {
  const models = modelInputsOf(graph).map(({ node, input, folder, name }) => {
    const parameter = Object.entries(parameters).find(([, { bindings }]) =>
      bindings.some((binding) => binding.node === node && binding.input === input),
    );
    return parameter === undefined ? { folder, name } : { folder, parameter: parameter[0] };
  });
  return [...new Map(models.map((model) => [JSON.stringify(model), model])).values()];
}
