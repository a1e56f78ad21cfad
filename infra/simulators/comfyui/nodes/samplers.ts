import type { NodeContext, NodeRunner } from '../node-runner.js';
import type { Recipe } from '../node-value.js';
import { sample } from '../sampling.js';

/** KSampler, KSamplerAdvanced, and SamplerCustomAdvanced with the nodes that feed it. */
export const samplerNodes: Readonly<Record<string, NodeRunner>> = {
  KSampler: async (context) => {
    const recipe = {
      ...recipeOf(context),
      seed: context.inputs.number('seed'),
      denoise: context.inputs.number('denoise', 1),
    };
    return sample(context, {
      recipe,
      latent: context.inputs.latent('latent_image'),
      startAt: 0,
      endAt: recipe.steps,
      addsNoise: true,
    });
  },

  KSamplerAdvanced: async (context) => {
    const { inputs } = context;
    return sample(context, {
      recipe: { ...recipeOf(context), seed: inputs.number('noise_seed'), denoise: 1 },
      latent: inputs.latent('latent_image'),
      startAt: inputs.number('start_at_step'),
      endAt: inputs.number('end_at_step'),
      addsNoise: inputs.text('add_noise') === 'enable',
    });
  },

  SamplerCustomAdvanced: async (context) => {
    const facts = {
      ...context.inputs.facts('guider'),
      ...context.inputs.facts('sigmas'),
      ...context.inputs.facts('sampler'),
      ...context.inputs.facts('noise'),
    };
    const recipe = recipeFrom(facts);
    const latent = context.inputs.latent('latent_image');
    const { outputs } = await sample(context, { recipe, latent, startAt: 0, endAt: recipe.steps, addsNoise: true });
    return { outputs: [...outputs, ...outputs] };
  },

  RandomNoise: settings(({ inputs }) => ({ seed: inputs.number('noise_seed') })),
  KSamplerSelect: settings(({ inputs }) => ({ samplerName: inputs.text('sampler_name') })),
  BasicScheduler: settings(({ inputs }) => ({
    scheduler: inputs.text('scheduler'),
    steps: inputs.number('steps', 1),
    denoise: inputs.number('denoise', 1),
  })),
  BasicGuider: settings(({ inputs }) => ({
    modelName: inputs.modelName('model'),
    promptText: inputs.conditioningText('conditioning'),
  })),
  CFGGuider: settings(({ inputs }) => ({
    modelName: inputs.modelName('model'),
    promptText: inputs.conditioningText('positive'),
    negativeText: inputs.conditioningText('negative'),
    cfg: inputs.number('cfg', 1),
  })),
};

function settings(factsOf: (context: NodeContext) => Readonly<Record<string, string | number>>): NodeRunner {
  return async (context) => ({ outputs: [{ kind: 'settings', facts: factsOf(context) }] });
}

function recipeOf({ inputs }: NodeContext): Omit<Recipe, 'base' | 'stepsDone' | 'seed' | 'denoise'> {
  return {
    modelName: inputs.modelName('model'),
    promptText: inputs.conditioningText('positive'),
    negativeText: inputs.conditioningText('negative'),
    steps: inputs.number('steps', 1),
    cfg: inputs.number('cfg'),
    samplerName: inputs.text('sampler_name'),
    scheduler: inputs.text('scheduler'),
  };
}

function recipeFrom(facts: Readonly<Record<string, string | number>>): Omit<Recipe, 'base' | 'stepsDone'> {
  const text = (name: string) => String(facts[name] ?? '');
  const number = (name: string, fallback: number) => Number(facts[name] ?? fallback);
  return {
    modelName: text('modelName'),
    promptText: text('promptText'),
    negativeText: text('negativeText'),
    seed: number('seed', 0),
    steps: number('steps', 1),
    cfg: number('cfg', 1),
    samplerName: text('samplerName'),
    scheduler: text('scheduler'),
    denoise: number('denoise', 1),
  };
}
