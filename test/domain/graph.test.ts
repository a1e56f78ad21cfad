import { describe, expect, test } from '@jest/globals';
import { bindValue, danglingLinks, isLink } from '../../workflows/domain/graph.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { prefixOutputs } from '../../workflows/domain/prefix-outputs.js';

function buildGraph(nodes: Record<string, Record<string, unknown>>): ApiGraph {
  return Object.fromEntries(Object.entries(nodes).map(([id, inputs]) => [id, { class_type: `Node${id}`, inputs }]));
}

describe('Graphs', () => {
  test.each([
    [['4', 0], true],
    [['4', 1.5], true],
    [[4, 0], false],
    [['4', '0'], false],
    [['4'], false],
    [['4', 0, 0], false],
    ['4', false],
    [null, false],
    [{ 0: '4', 1: 0, length: 2 }, false],
  ])('%j is a link: %j', (value, expected) => {
    expect(isLink(value)).toBe(expected);
  });

  test('a value is written to every place that it is bound to, and nowhere else', () => {
    const graph = buildGraph({ '3': { seed: 1, steps: 20 }, '5': { noise_seed: 1 } });
    const bindings = [
      { node: '3', input: 'seed' },
      { node: '5', input: 'noise_seed' },
    ];
    const expected = buildGraph({ '3': { seed: 42, steps: 20 }, '5': { noise_seed: 42 } });
    expect(bindValue(graph, bindings, 42)).toEqual(expected);
  });

  test('binding changes a copy: a template is shared by all its generations', () => {
    const graph = buildGraph({ '3': { seed: 1 } });
    const before = structuredClone(graph);
    bindValue(graph, [{ node: '3', input: 'seed' }], 42);
    expect(graph).toEqual(before);
  });

  test('a binding to an absent node changes nothing and adds no node', () => {
    const graph = buildGraph({ '3': { seed: 1 } });
    expect(bindValue(graph, [{ node: '99', input: 'seed' }], 42)).toEqual(graph);
  });

  test('links that point to no node are listed with the place where they stand', () => {
    const graph = buildGraph({
      '3': { model: ['4', 0], extra: ['77', 1], seed: 7 },
      '4': {},
      '9': { images: ['8', 0] },
    });
    expect(danglingLinks(graph)).toEqual([
      { node: '3', input: 'extra', target: '77' },
      { node: '9', input: 'images', target: '8' },
    ]);
  });

  test('a whole graph has no dangling links, whatever literals look like', () => {
    const graph = buildGraph({
      '1': { text: '77', points: [1, 2], wrapped: { __value__: ['77', 0] } },
      '2': { in: ['1', 0] },
    });
    expect(danglingLinks(graph)).toEqual([]);
  });

  test('a link to a name that every object inherits is dangling', () => {
    expect(danglingLinks(buildGraph({ '1': { in: ['constructor', 0] } }))).toHaveLength(1);
  });
});

describe('Prefixes of outputs', () => {
  test('every save node writes under the generation, the submission and its own id', () => {
    const graph = buildGraph({ '9': { filename_prefix: 'ComfyUI', images: ['8', 0] }, '8': { samples: ['3', 0] } });
    const prefixed = prefixOutputs(graph, 'g-1', 2);
    expect(prefixed['9']?.inputs).toEqual({ filename_prefix: 'dg/g-1/2/9', images: ['8', 0] });
    expect(prefixed['8']).toEqual(graph['8']);
  });

  test('two save nodes and two submissions never share a prefix', () => {
    const graph = buildGraph({ '9': { filename_prefix: 'a' }, '10': { filename_prefix: 'a' } });
    const prefixes = [1, 2].flatMap((submission) =>
      Object.values(prefixOutputs(graph, 'g-1', submission)).map(({ inputs }) => inputs['filename_prefix']),
    );
    expect(new Set(prefixes).size).toBe(4);
  });

  test('a node id that is a path stays inside the folder of its submission', () => {
    const graph = buildGraph({ '../../etc/x y': { filename_prefix: 'a' } });
    expect(Object.values(prefixOutputs(graph, 'g-1', 1))[0]?.inputs['filename_prefix']).toBe('dg/g-1/1/______etc_x_y');
  });

  test('B4 a prefix that another node computes is replaced, too', () => {
    const graph = buildGraph({ '9': { filename_prefix: ['5', 0] }, '5': { value: '../../etc' } });
    expect(prefixOutputs(graph, 'g-1', 1)['9']?.inputs).toEqual({ filename_prefix: 'dg/g-1/1/9' });
  });
});
