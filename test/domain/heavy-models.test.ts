import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { gpuTaskQueue, poolOfTaskQueue } from '../../workflows/contracts/task-queues.js';
import { heavyModelsOf, modelKeyOf } from '../../workflows/domain/heavy-models.js';

const node = (type: string, inputs: Readonly<Record<string, unknown>>) => ({ class_type: type, inputs });

describe('R4.3 heavy models of a graph', () => {
  test('checkpoints and diffusion models count, sorted and once; what is small, linked or no file does not', () => {
    const graph = {
      1: node('CheckpointLoaderSimple', { ckpt_name: 'z.safetensors' }),
      2: node('CheckpointLoaderSimple', { ckpt_name: 'z.safetensors' }),
      3: node('UNETLoader', { unet_name: 'a.gguf', weight_dtype: 'default' }),
      4: node('WanVideoModelLoader', { model: 'wan.safetensors' }),
      5: node('LoraLoader', { lora_name: 'l.safetensors', model: ['1', 0] }),
      6: node('VAELoader', { vae_name: 'v.safetensors' }),
      7: node('UpscaleModelLoader', { model_name: 'x4.pth' }),
      8: node('CLIPLoader', { clip_name: 'c.safetensors' }),
      9: node('CheckpointLoaderSimple', { ckpt_name: ['3', 0] }),
    };
    expect(heavyModelsOf(graph)).toEqual(['a.gguf', 'wan.safetensors', 'z.safetensors']);
  });

  test.each([
    ['default', [], 'gpu'],
    ['portraits', [], 'gpu.portraits'],
    ['default', ['sdxl.safetensors'], 'gpu.default.sdxl.safetensors'],
    ['p', ['a.ckpt', 'b.ckpt'], 'gpu.p.a.ckpt+b.ckpt'],
    ['p', ['x/a b.ckpt'], 'gpu.p.x_a_b.ckpt~331fa7af'],
  ])('the queue of pool %s and models %j is %s', (pool, models, queue) => {
    expect(gpuTaskQueue(pool, models)).toBe(queue);
    expect(poolOfTaskQueue(queue)).toBe(pool);
  });

  test('different models have different names, which stay short', () => {
    const sets = fc.array(fc.string({ minLength: 1, maxLength: 80 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(sets, sets, (one, other) => {
        const [left, right] = [modelKeyOf(one), modelKeyOf(other)];
        expect(left?.length).toBeLessThan(140);
        if (one.join('\n') !== other.join('\n')) expect(left).not.toBe(right);
      }),
    );
  });
});
