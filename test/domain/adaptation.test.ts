import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { projectRoot } from '../../infra/runtime/project-root.js';
import {
  GRAPH_CHANGES,
  UNADAPTED,
  adaptedEdge,
  adaptedGraph,
  batchSizeOf,
  nextAdaptation,
  parametersOf,
} from '../../workflows/domain/adaptation.js';
import type { Adaptation, GraphChange } from '../../workflows/domain/adaptation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { danglingLinks } from '../../workflows/domain/graph.js';
import { DEFAULT_RECOVERY } from '../../workflows/domain/recovery-policy.js';

const { substitutes } = DEFAULT_RECOVERY;
const means = { substitutes, adjust: [] };
const noMeans = { substitutes: [], adjust: [] };
const template = JSON.parse(
  readFileSync(join(projectRoot, 'comfy-workflows/sd15-text-to-image/graph.json'), 'utf8'),
) as ApiGraph;

function buildGraph(
  latent: Readonly<Record<string, unknown>>,
  sampler: Readonly<Record<string, unknown>> = {},
): ApiGraph {
  return withInputs(withInputs(template, 'EmptyLatentImage', latent), 'KSampler', sampler);
}

function withInputs(graph: ApiGraph, type: string, inputs: Readonly<Record<string, unknown>>): ApiGraph {
  const nodes = Object.entries(graph).map(([id, node]) => [
    id,
    node.class_type === type ? { ...node, inputs: { ...node.inputs, ...inputs } } : node,
  ]);
  return Object.fromEntries(nodes) as ApiGraph;
}

/** Makes one change after the other; throws when one is impossible. */
function after(graph: ApiGraph, ...changes: readonly GraphChange[]): Adaptation {
  return changes.reduce((adaptation, change) => {
    const next = nextAdaptation(graph, adaptation, change, means);
    if (next === null) throw new Error(`${change} changes nothing`);
    return next;
  }, UNADAPTED);
}

function nodeOf(graph: ApiGraph, type: string) {
  const node = Object.values(graph).find(({ class_type: each }) => each === type);
  if (node === undefined) throw new Error(`no ${type}`);
  return node;
}

describe('R5.2 Reduced parameters', () => {
  test('8×1024×1024 with 50 steps becomes 4×816×816 with 40: all four at once', () => {
    const graph = buildGraph({ width: 1024, height: 1024, batch_size: 8 }, { steps: 50 });
    const adaptation = after(graph, 'reduce_params');
    expect(parametersOf(graph, adaptation)).toMatchObject({ batch_size: 4, width: 816, height: 816, steps: 40 });
  });

  test.each([
    [1024, [816, 648, 512, 512]],
    [640, [512, 512, 512, 512]],
    [512, [512, 512, 512, 512]],
    [64, [64, 64, 64, 64]],
    [1000, [800, 640, 512, 512]],
  ])('an edge of %d px becomes %j', (edgePx, edges) => {
    expect([1, 2, 3, 4].map((times) => adaptedEdge(edgePx, 'width', { ...UNADAPTED, reductions: times }))).toEqual(
      edges,
    );
  });

  test.each([
    [50, 40],
    [24, 20],
    [20, 20],
    [8, 8],
  ])('%d steps become %d, under either name', (steps, fewer) => {
    const graph = buildGraph({ width: 1024, height: 1024 }, { steps, num_inference_steps: steps });
    const { inputs } = nodeOf(adaptedGraph(graph, after(graph, 'reduce_params')), 'KSampler');
    expect(inputs).toMatchObject({ steps: fewer, num_inference_steps: fewer });
  });

  test('segments of one sampling keep their shares', () => {
    const sampler = { steps: 50, start_at_step: 25, end_at_step: 10_000 };
    const graph = buildGraph({ width: 1024 }, sampler);
    const { inputs } = nodeOf(adaptedGraph(graph, after(graph, 'reduce_params')), 'KSampler');
    expect(inputs).toMatchObject({ steps: 40, start_at_step: 20, end_at_step: 10_000 });
  });

  test('a graph in which everything is at its minimum is not changed', () => {
    const graph = buildGraph({ width: 512, height: 64, batch_size: 1 }, { steps: 20 });
    expect(nextAdaptation(graph, UNADAPTED, 'reduce_params', means)).toBeNull();
  });

  test('nothing is ever below its minimum, or larger than it was', () => {
    const numbers = fc.record({
      width: fc.integer({ min: 16, max: 16_384 }),
      height: fc.integer({ min: 16, max: 16_384 }),
      batch_size: fc.integer({ min: 1, max: 64 }),
      steps: fc.integer({ min: 1, max: 500 }),
      times: fc.integer({ min: 1, max: 6 }),
    });
    fc.assert(
      fc.property(numbers, ({ steps, times, ...latent }) => {
        const graph = buildGraph(latent, { steps });
        let adaptation: Adaptation | null = UNADAPTED;
        for (let time = 0; time < times && adaptation !== null; time += 1) {
          adaptation = nextAdaptation(graph, adaptation, 'reduce_params', means);
          if (adaptation === null) break;
          const { width, height, batch_size: batch, steps: fewer } = parametersOf(graph, adaptation);
          expect(width).toBeGreaterThanOrEqual(Math.min(latent.width, 512));
          expect(height).toBeGreaterThanOrEqual(Math.min(latent.height, 512));
          expect(fewer).toBeGreaterThanOrEqual(Math.min(steps, 20));
          expect(batch).toBeGreaterThanOrEqual(1);
          for (const [now, before] of [
            [width, latent.width],
            [height, latent.height],
            [fewer, steps],
          ] as const) {
            expect(now).toBeLessThanOrEqual(before);
          }
        }
      }),
    );
  });
});

describe('R5.2 A batch in parts', () => {
  test('every picture that was asked for is in exactly one part, however often it is split', () => {
    const sizes = fc.record({ batch: fc.integer({ min: 2, max: 64 }), times: fc.integer({ min: 1, max: 7 }) });
    fc.assert(
      fc.property(sizes, ({ batch, times }) => {
        const graph = buildGraph({ batch_size: batch });
        let adaptation = UNADAPTED;
        for (let time = 0; time < times; time += 1) {
          adaptation = nextAdaptation(graph, adaptation, 'split_batch', noMeans) ?? adaptation;
        }
        const pictures = adaptation.parts.flatMap(({ first, count }) =>
          Array.from({ length: count }, (_, index) => first + index),
        );
        expect(pictures).toEqual(Array.from({ length: batch }, (_, index) => index));
      }),
    );
  });

  test('a part takes its pictures out of the whole batch, so that they keep their noise', () => {
    const graph = buildGraph({ batch_size: 5 });
    const second = adaptedGraph(graph, after(graph, 'split_batch', 'next_part'));
    expect(nodeOf(second, 'EmptyLatentImage').inputs['batch_size']).toBe(5);
    expect(nodeOf(second, 'LatentFromBatch').inputs).toEqual({ samples: ['5', 0], batch_index: 3, length: 2 });
    expect(nodeOf(second, 'KSampler').inputs['latent_image']).toEqual(['5_part', 0]);
    expect(danglingLinks(second)).toEqual([]);
    expect(batchSizeOf(graph)).toBe(5);
  });

  test('a single picture is not split, and the last part has no next', () => {
    const single = buildGraph({ batch_size: 1 });
    expect(nextAdaptation(single, UNADAPTED, 'split_batch', noMeans)).toBeNull();
    const graph = buildGraph({ batch_size: 2 });
    const last = after(graph, 'split_batch', 'next_part');
    expect(nextAdaptation(graph, last, 'next_part', noMeans)).toBeNull();
    expect(nextAdaptation(graph, last, 'split_batch', noMeans)).toBeNull();
  });
});

test('the decoder is exchanged for the one that works in tiles, once', () => {
  const adaptation = after(template, 'tiled_decode');
  const { inputs } = nodeOf(adaptedGraph(template, adaptation), 'VAEDecodeTiled');
  expect(inputs).toMatchObject({ ...nodeOf(template, 'VAEDecode').inputs, tile_size: 512, overlap: 64 });
  expect(nextAdaptation(template, adaptation, 'tiled_decode', noMeans)).toBeNull();
});

test('R5.4 a model that is missing is replaced along the list, without the one that was asked for', () => {
  const [, asked = ''] = substitutes;
  const graph = withInputs(template, 'CheckpointLoaderSimple', { ckpt_name: asked });
  const first = after(graph, 'switch_model');
  expect(first.model).toBe('sd_xl_base_1.0.safetensors');
  const second = nextAdaptation(graph, first, 'switch_model', means);
  expect(second?.model).toBe('anything-v4.5-pruned.ckpt');
  expect(parametersOf(graph, second ?? UNADAPTED)['model']).toBe('anything-v4.5-pruned.ckpt');
  expect(nextAdaptation(graph, second ?? UNADAPTED, 'switch_model', means)).toBeNull();
  expect(nextAdaptation(graph, UNADAPTED, 'switch_model', noMeans)).toBeNull();
});

test.each(GRAPH_CHANGES)('%s changes nothing of a graph without such nodes', (change) => {
  const graph: ApiGraph = { 1: { class_type: 'LoadImage', inputs: { image: 'a.png' } } };
  expect(nextAdaptation(graph, UNADAPTED, change, means)).toBeNull();
  expect(adaptedGraph(graph, UNADAPTED)).toEqual(graph);
  expect(parametersOf(graph, UNADAPTED)).toEqual({});
});
