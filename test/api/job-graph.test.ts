import { describe, expect, test } from '@jest/globals';
import { changeJobGraph } from '../../api/error-recovery/job-graph.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';

const node = (classType: string, inputs: Readonly<Record<string, unknown>>) => ({ class_type: classType, inputs });

const GRAPH: ApiGraph = {
  sampler: node('KSampler', {
    seed: 1,
    steps: 30,
    positive: ['net', 0],
    negative: ['bad', 0],
    latent_image: ['size', 0],
  }),
  net: node('ControlNetApplyAdvanced', { positive: ['good', 0], negative: ['bad', 0], strength: 1 }),
  good: node('CLIPTextEncode', { text: 'a house', clip: ['model', 1] }),
  bad: node('CLIPTextEncode', { text: 'blur', clip: ['model', 1] }),
  size: node('EmptyLatentImage', { width: 1024, height: 1024, batch_size: 8 }),
  scaled: node('LatentUpscale', { samples: ['size', 0], width: ['other', 0], height: 512 }),
  video: node('VideoSampler', { num_inference_steps: 20 }),
  model: node('CheckpointLoaderSimple', { ckpt_name: 'a.safetensors' }),
};

const changed = (parameters: Readonly<Record<string, number>>, prompt: string | null = null) =>
  changeJobGraph(GRAPH, { prompt, parameters });

describe('R5.10 A job', () => {
  test('gets its prompt where the positive input of the sampler begins, and nowhere else', () => {
    const { graph, missing } = changed({}, 'a heron');
    expect(missing).toEqual([]);
    expect(graph).toEqual({ ...GRAPH, good: node('CLIPTextEncode', { text: 'a heron', clip: ['model', 1] }) });
  });

  test('gets its parameters on every node that has such an input, whose links stay links', () => {
    const { graph } = changed({ width: 512, height: 256 });
    expect(graph['size']?.inputs).toEqual({ width: 512, height: 256, batch_size: 8 });
    expect(graph['scaled']?.inputs).toEqual({ samples: ['size', 0], width: ['other', 0], height: 256 });
  });

  test.each(['steps', 'num_inference_steps'])('takes %s for both names of it', (name) => {
    const { graph } = changed({ [name]: 12 });
    expect(graph['sampler']?.inputs['steps']).toBe(12);
    expect(graph['video']?.inputs['num_inference_steps']).toBe(12);
    expect(graph['sampler']?.inputs).not.toHaveProperty('num_inference_steps');
  });

  test('names what no node takes, and a prompt without a place', () => {
    expect(changed({ strenght: 1, width: 64 }).missing).toEqual(['parameters/strenght']);
    const { sampler: _, net: __, ...rest } = GRAPH;
    expect(changeJobGraph(rest, { prompt: 'a heron', parameters: {} }).missing).toEqual(['prompt']);
  });

  test('ends with a graph whose conditionings lead in a circle', () => {
    const circle: ApiGraph = {
      a: node('ConditioningCombine', { conditioning_1: ['b', 0], conditioning_2: ['a', 0] }),
      b: node('ConditioningCombine', { conditioning_1: ['a', 0], positive: ['a', 0] }),
    };
    expect(changeJobGraph(circle, { prompt: 'x', parameters: {} }).missing).toEqual(['prompt']);
  });
});
