import type { NodeContext, NodeResult } from './node-runner.js';
import { hashOf, renderPreview } from './pictures.js';
import type { LatentValue, Recipe } from './node-value.js';

/** Steps of one sampler node: from `startAt` to `endAt` of the recipe's total. */
export interface Segment {
  readonly recipe: Omit<Recipe, 'base' | 'stepsDone'>;
  readonly latent: LatentValue;
  readonly startAt: number;
  readonly endAt: number;
  /** False: carries on from a latent that another segment left unfinished. */
  readonly addsNoise: boolean;
}

/** Samples, and gives the latent whose picture is that of the whole recipe, however many segments it took. */
export async function sample(context: NodeContext, segment: Segment): Promise<NodeResult> {
  const { latent, startAt } = segment;
  const endAt = Math.min(segment.endAt, segment.recipe.steps);
  const recipe = continued(segment, endAt);
  await context.runSteps(Math.max(0, endAt - startAt), () => renderPreview(recipe, latent));
  return { outputs: [{ ...latent, recipe }] };
}

function continued({ recipe, latent, startAt, addsNoise }: Segment, stepsDone: number): Recipe {
  const earlier = latent.recipe;
  if (!addsNoise && earlier?.stepsDone === startAt && earlier.steps === recipe.steps) {
    return { ...earlier, stepsDone };
  }
  const base = earlier === null ? latent.base : hashOf(earlier);
  return { ...recipe, base, stepsDone };
}
