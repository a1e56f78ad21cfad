/** Classes that use the card; loaders only read files into memory. */
const GPU_CLASS =
  /^(CLIPTextEncode\w*|KSampler(Advanced)?|SamplerCustomAdvanced|VAE(De|En)code(Tiled)?|ImageUpscaleWithModel)$/;
const SAMPLER_CLASS = /^(KSampler(Advanced)?|SamplerCustomAdvanced)$/;
const LOADER_CLASS =
  /^(CheckpointLoader|UNETLoader|VAELoader|CLIPLoader|DualCLIPLoader|LoraLoader|ControlNetLoader|UpscaleModelLoader)/;
const SAVE_CLASS = /^(Save|Preview)(Image|Latent)$/;

export const nodeGroups = {
  any: () => true,
  gpu: (nodeType: string) => GPU_CLASS.test(nodeType),
  samplers: (nodeType: string) => SAMPLER_CLASS.test(nodeType),
  loaders: (nodeType: string) => LOADER_CLASS.test(nodeType),
  saving: (nodeType: string) => SAVE_CLASS.test(nodeType),
} as const;

export type NodeGroup = keyof typeof nodeGroups;
