import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parseGenerationRequest } from '../../api/generations/parse-generation-request.js';
import { ProblemError } from '../../api/problem-error.js';
import { loadTemplates } from '../../api/templates/load-templates.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { falRequestOf } from '../../workflows/fal-choice.js';

const templates = await loadTemplates(join(projectRoot, 'comfy-workflows'));

const PARAMETERS = { prompt: 'a heron', negative_prompt: 'blur', width: 640, height: 448, steps: 30, cfg: 5, seed: 9 };
const bodyOf = (parameters: object = {}, extra: object = {}) => ({
  template: 'sd15-text-to-image',
  parameters: { ...PARAMETERS, ...parameters },
  ...extra,
});
const world = { templates, resolveInputs: async () => new Map<string, never>(), provider: 'comfyui' } as const;
const falOf = async (body: unknown) => (await parseGenerationRequest(body, world)).fal;

describe('R1.2 The same request on fal.ai', () => {
  test('has every value that the model knows, and names those that it does not', async () => {
    expect(await falOf(bodyOf({ batch_size: 3, sampler: 'euler' }))).toEqual({
      modelId: 'fal-ai/stable-diffusion-v15',
      input: {
        ...{ prompt: 'a heron', negative_prompt: 'blur', image_size: { width: 640, height: 448 } },
        ...{ num_inference_steps: 30, guidance_scale: 5, seed: 9, num_images: 3, format: 'png' },
      },
      usd: 0.03,
      unmapped: ['sampler', 'scheduler', 'model'],
      leftOut: ['sampler'],
    });
  });

  test.each([
    [{ steps: 51 }, 'steps from 1 to 50, and 51 is asked for'],
    [{ batch_size: 5 }, 'batch_size from 1 to 4, and 5 is asked for'],
    [{ cfg: 25 }, 'cfg from 0 to 20, and 25 is asked for'],
  ])('%j is more than the model takes: there is none', async (parameters, reason) => {
    expect(await falOf(bodyOf(parameters))).toEqual({ reason: `fal-ai/stable-diffusion-v15 takes ${reason}` });
  });

  test('is none for a template without a counterpart, and for a graph', async () => {
    expect(await falOf({ template: 'test-card' })).toEqual({
      reason: 'the template test-card has no counterpart there',
    });
    const graph = { '1': { class_type: 'EmptyImage', inputs: {} } };
    expect(await falOf({ graph })).toMatchObject({
      reason: expect.stringMatching(/^a graph has no counterpart there/),
    });
  });
});

describe('R1.4 A request that says fal', () => {
  test.each([
    [bodyOf({ steps: 51 })],
    [{ template: 'test-card' }],
    [{ graph: { '1': { class_type: 'A', inputs: {} } } }],
  ])('and cannot run there is refused at the door, whoever says it', async (body) => {
    const remedy = expect.stringContaining('"comfyui-only"');
    const parsing = parseGenerationRequest({ ...body, provider: 'fal' }, world);
    await expect(parsing).rejects.toThrow(ProblemError);
    await expect(parsing).rejects.toThrow(/\/provider: is fal, but /);
    await expect(parsing).rejects.toMatchObject({ code: 'invalid_request', remedy });
    const bySetting = parseGenerationRequest(body, { ...world, provider: 'fal' });
    await expect(bySetting).rejects.toThrow(/\/provider: is absent, which means fal here \(setting PROVIDER\), but /);
    await expect(bySetting).rejects.toMatchObject({ code: 'invalid_request', remedy });
    const chosen = parseGenerationRequest({ ...body, provider: 'comfyui-only' }, { ...world, provider: 'fal' });
    expect(await chosen).toMatchObject({ provider: 'comfyui-only' });
  });

  test('an unknown provider is refused with the known ones', async () => {
    await expect(falOf(bodyOf({}, { provider: 'falai' }))).rejects.toThrow(/provider/);
  });
});

describe('What of a request forbids the fallback', () => {
  const fal = { modelId: 'a/b', input: { key: 'k', sha256: 's' }, usd: 1, unmapped: ['sampler'], leftOut: ['sampler'] };

  test('comfyui-only, a missing counterpart, and strict when the caller has chosen what the model does not know', () => {
    expect(falRequestOf({ provider: 'comfyui-only', fal, isStrict: false })).toEqual({
      reason: 'the request says comfyui-only',
    });
    expect(falRequestOf({ provider: 'comfyui', fal: { reason: 'none' }, isStrict: false })).toEqual({ reason: 'none' });
    expect(falRequestOf({ provider: 'comfyui', fal, isStrict: true })).toEqual({
      reason: 'the request is strict, and a/b does not know sampler',
    });
  });

  test('nothing, where the caller has asked for fal or has left the rest to the model', () => {
    expect(falRequestOf({ provider: 'fal', fal, isStrict: true })).toBe(fal);
    expect(falRequestOf({ provider: 'comfyui', fal: { ...fal, leftOut: [] }, isStrict: true })).toMatchObject({
      usd: 1,
    });
    expect(falRequestOf({ provider: 'comfyui', fal, isStrict: false })).toBe(fal);
  });
});
