import type { NodeContext, NodeRunner } from '../node-runner.js';

/** Loaders and model patches: of a model only the name of its file matters. */
export const modelNodes: Readonly<Record<string, NodeRunner>> = {
  CheckpointLoaderSimple: loader(3, ({ inputs }) => inputs.text('ckpt_name')),
  UNETLoader: loader(1, ({ inputs }) => inputs.text('unet_name')),
  VAELoader: loader(1, ({ inputs }) => inputs.text('vae_name')),
  CLIPLoader: loader(1, ({ inputs }) => inputs.text('clip_name')),
  DualCLIPLoader: loader(1, ({ inputs }) => `${inputs.text('clip_name1')}+${inputs.text('clip_name2')}`),
  UpscaleModelLoader: loader(1, ({ inputs }) => inputs.text('model_name')),
  CLIPVisionLoader: loader(1, ({ inputs }) => inputs.text('clip_name')),
  DifferentialDiffusion: loader(1, ({ inputs }) => inputs.modelName('model')),
  IPAdapterModelLoader: loader(1, ({ inputs }) => inputs.text('ipadapter_file')),
  IPAdapterInsightFaceLoader: loader(1, ({ inputs }) => inputs.text('model_name')),
  DownloadAndLoadLivePortraitModels: loader(1, ({ inputs }) => inputs.text('mode')),
  LivePortraitLoadCropper: loader(1, () => 'insightface'),
  ControlNetLoader: loader(1, ({ inputs }) => inputs.text('control_net_name')),
  LoraLoader: async ({ inputs }) => ({
    outputs: ['model', 'clip'].map((input) => ({
      kind: 'model',
      name: `${inputs.modelName(input)}+${loraOf(inputs)}`,
    })),
  }),
  LoraLoaderModelOnly: loader(1, ({ inputs }) => `${inputs.modelName('model')}+${loraOf(inputs)}`),
  CLIPSetLastLayer: loader(1, ({ inputs }) => `${inputs.modelName('clip')}@${inputs.number('stop_at_clip_layer')}`),
  ModelSamplingFlux: loader(1, ({ inputs }) => inputs.modelName('model')),
  ModelSamplingSD3: loader(1, ({ inputs }) => inputs.modelName('model')),
};

function loader(outputs: number, nameOf: (context: NodeContext) => string): NodeRunner {
  return async (context) => ({
    outputs: Array.from({ length: outputs }, () => ({ kind: 'model', name: nameOf(context) })),
  });
}

function loraOf(inputs: NodeContext['inputs']): string {
  return `${inputs.text('lora_name')}:${inputs.number('strength_model')}`;
}
