import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { aliasOf } from '../../workflows/domain/aliases.js';
import { correctGraph } from '../../workflows/domain/correct-graph.js';

const SAMPLERS = [
  ...[
    'euler',
    'euler_cfg_pp',
    'euler_ancestral',
    'euler_ancestral_cfg_pp',
    'heun',
    'heunpp2',
    'dpm_2',
    'dpm_2_ancestral',
  ],
  ...[
    'lms',
    'dpm_fast',
    'dpm_adaptive',
    'dpmpp_2s_ancestral',
    'dpmpp_sde',
    'dpmpp_2m',
    'dpmpp_2m_sde',
    'ddim',
    'uni_pc',
  ],
];
const MODELS = [
  'sd_xl_base_1.0.safetensors',
  'v1-5-pruned-emaonly.safetensors',
  'flux/dev.safetensors',
  'twice.ckpt',
  'twice.pt',
];

describe('R3.4 another spelling', () => {
  test.each([
    ['euler_a', 'euler_ancestral'],
    ['k_euler', 'euler'],
    ['k_euler_a', 'euler_ancestral'],
    ['Euler a', 'euler_ancestral'],
    ['k_dpm_2_a', 'dpm_2_ancestral'],
    ['DPM2 a', 'dpm_2_ancestral'],
    ['DPM++ 2M', 'dpmpp_2m'],
    ['k_dpmpp_2m', 'dpmpp_2m'],
    ['DPM++ 2S a', 'dpmpp_2s_ancestral'],
    ['UniPC', 'uni_pc'],
  ])('the sampler %s is %s', (value, name) => {
    expect(aliasOf('sampler_name', value, SAMPLERS)).toBe(name);
  });

  test.each([
    ['sd_xl_base_1.0.ckpt', 'sd_xl_base_1.0.safetensors'],
    ['v1-5-pruned-emaonly.ckpt', 'v1-5-pruned-emaonly.safetensors'],
    ['flux\\dev.safetensors', 'flux/dev.safetensors'],
  ])('the model %s is %s', (value, name) => {
    expect(aliasOf('ckpt_name', value, MODELS)).toBe(name);
  });

  test.each([
    ['sampler_name', 'euler', SAMPLERS, 'is allowed as it is'],
    ['sampler_name', 'magic', SAMPLERS, 'is like none'],
    ['ckpt_name', 'other.safetensors', MODELS, 'has another stem'],
    ['ckpt_name', 'dev.safetensors', MODELS, 'is in another folder'],
    ['ckpt_name', 'twice.safetensors', MODELS, 'may be either of two'],
    ['text', 'euler_a', SAMPLERS, 'is no sampler, but words'],
  ])('%s "%s" is left alone: it %s', (input, value, allowed) => {
    expect(aliasOf(input, value, allowed)).toBeNull();
  });

  test('what comes out is always allowed, and needs no second correction', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('sampler_name', 'scheduler', 'ckpt_name'), (value, input) => {
        const alias = aliasOf(input, value, SAMPLERS);
        if (alias === null) return;
        expect(SAMPLERS).toContain(alias);
        expect(aliasOf(input, alias, SAMPLERS)).toBeNull();
      }),
    );
  });
});

describe('R3.4 a graph', () => {
  const graph = {
    '3': {
      class_type: 'KSampler',
      inputs: { sampler_name: 'euler_a', seed: 1, model: ['4', 0] },
      _meta: { title: 'Sampler' },
    },
    '4': { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'sd_xl_base_1.0.ckpt' } },
    '6': { class_type: 'CLIPTextEncode', inputs: { text: 'euler_a' } },
  };
  const options: Readonly<Record<string, readonly string[]>> = {
    'KSampler.sampler_name': SAMPLERS,
    'CheckpointLoaderSimple.ckpt_name': MODELS,
  };
  const optionsOf = (classType: string, input: string) => options[`${classType}.${input}`] ?? null;

  test('is corrected where the backend knows another spelling, and says where', () => {
    const { graph: corrected, corrections } = correctGraph(graph, optionsOf);
    expect(corrections).toEqual([
      { node: '3', title: 'Sampler', input: 'sampler_name', from: 'euler_a', to: 'euler_ancestral' },
      { node: '4', title: null, input: 'ckpt_name', from: 'sd_xl_base_1.0.ckpt', to: 'sd_xl_base_1.0.safetensors' },
    ]);
    expect(corrected['3']?.inputs).toEqual({ sampler_name: 'euler_ancestral', seed: 1, model: ['4', 0] });
    expect(corrected['6']).toBe(graph['6']);
    expect(graph['3'].inputs.sampler_name).toBe('euler_a');
  });

  test('is left as it is where nothing is known', () => {
    expect(correctGraph(graph, () => null)).toEqual({ graph, corrections: [] });
  });
});
