import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { nodeCatalogueFrom } from '../../activities/comfyui/node-catalogue.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { isNamedBy } from '../../workflows/domain/class-rules.js';
import type { ClassLists } from '../../workflows/domain/class-rules.js';
import { pathFault } from '../../workflows/domain/file-values.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { breachInWords } from '../../workflows/domain/graph-breach.js';
import { catalogueBreaches, graphBreaches } from '../../workflows/domain/graph-rules.js';
import type { GraphMode } from '../../workflows/domain/graph-rules.js';
import { MAX_CHAIN_NODES, MAX_SAVE_NODES } from '../../workflows/domain/graph-shape.js';
import { prefixOutputs } from '../../workflows/domain/prefix-outputs.js';
import { segmented, textToImage } from '../simulator/graphs.js';

const NO_LISTS: ClassLists = { denied: [], allowed: [] };
const BROUGHT = `dg/inputs/${'0f'.repeat(32)}.png`;

function wordsOf(graph: ApiGraph, mode: GraphMode = 'graph-restricted', lists = NO_LISTS): readonly string[] {
  return graphBreaches(graph, mode, lists).map(breachInWords);
}

/** One node of a class. */
function one(classType: string, inputs: Readonly<Record<string, unknown>> = {}): ApiGraph {
  return { '1': { class_type: classType, inputs } };
}

const chain = (nodes: number): ApiGraph =>
  Object.fromEntries(
    Array.from({ length: nodes }, (_, index) => [
      String(index),
      { class_type: 'LoraLoaderModelOnly', inputs: index === 0 ? {} : { model: [String(index - 1), 0] } },
    ]),
  );

const savers = (nodes: number): ApiGraph =>
  Object.fromEntries(
    Array.from({ length: nodes }, (_, index) => [
      String(index),
      {
        class_type: index === 0 ? 'SaveImageWebsocket' : 'AnySaver',
        inputs: index === 0 ? {} : { filename_prefix: 'a' },
      },
    ]),
  );

describe('B2 The shape of a graph', () => {
  test.each([
    ['a chain of 199', chain(MAX_CHAIN_NODES - 1), 0],
    ['a chain of 200', chain(MAX_CHAIN_NODES), 0],
    ['a chain of 201', chain(MAX_CHAIN_NODES + 1), 1],
    ['19 save nodes', savers(MAX_SAVE_NODES - 1), 0],
    ['20 save nodes', savers(MAX_SAVE_NODES), 0],
    ['21 save nodes', savers(MAX_SAVE_NODES + 1), 1],
  ])('%s', (_name, graph, breaches) => {
    for (const mode of ['graph-restricted', 'graph-trusted'] as const) {
      expect(graphBreaches(graph, mode, NO_LISTS)).toHaveLength(breaches);
    }
  });

  test('what is too deep or too much is told with the number and the limit', () => {
    expect(
      wordsOf({ ...chain(201), ...Object.fromEntries(Object.entries(savers(21)).map(([id, n]) => [`s${id}`, n])) }),
    ).toEqual([
      'the graph has a chain of 201 linked nodes that ends at node 200, but may have 200',
      'the graph has 21 nodes that save files, but may have 20',
    ]);
  });

  test('a circle is refused with its nodes, and with no others', () => {
    const graph: ApiGraph = {
      a: { class_type: 'Before', inputs: {} },
      b: { class_type: 'B', inputs: { x: ['a', 0], y: ['d', 0] } },
      c: { class_type: 'C', inputs: { x: ['b', 0] } },
      d: { class_type: 'D', inputs: { x: ['c', 0] } },
      e: { class_type: 'After', inputs: { x: ['d', 0] } },
    };
    expect(wordsOf(graph, 'graph-trusted')).toEqual([
      'the graph is linked in a circle through nodes b (B), c (C), d (D)',
    ]);
    expect(wordsOf(one('Self', { x: ['1', 0] }))).toEqual(['the graph is linked in a circle through nodes 1 (Self)']);
  });

  test('whatever is linked to earlier nodes alone is no circle; one link back to a user is one', () => {
    const shape = fc.array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: 2, maxLength: 40 });
    fc.assert(
      fc.property(shape, (links) => {
        const graph: ApiGraph = Object.fromEntries(
          links.map((sources, index) => [
            `n${index}`,
            {
              class_type: 'Any',
              inputs: Object.fromEntries(
                (index === 0 ? [] : sources).map((source, at) => [`i${at}`, [`n${source % index}`, 0]]),
              ),
            },
          ]),
        );
        expect(wordsOf(graph)).toEqual([]);
        const user = Object.entries(graph).find(([, { inputs }]) => Object.keys(inputs).length > 0);
        if (user === undefined) return;
        const [[source]] = Object.values(user[1].inputs) as [[string, number]];
        const closed = {
          ...graph,
          [source]: { class_type: 'Any', inputs: { ...graph[source]?.inputs, back: [user[0], 0] } },
        };
        expect(wordsOf(closed).join()).toMatch(/circle/);
      }),
      { numRuns: 100 },
    );
  });
});

describe('B4 Classes', () => {
  test.each([
    ['CheckpointSave', 'writes model files'],
    ['ImageOnlyCheckpointSave', 'writes model files'],
    ['SaveLoRA', 'writes model files'],
    ['LoraSave', 'writes model files'],
    ['TrainLoraNode', 'trains'],
    ['SaveTrainingDataset', 'training data set'],
    ['LoadImageDataSetFromFolder', 'training data set'],
    ['LoadImageFromUrl', 'opens connections'],
    ['Load Image From URL (mtb)', 'opens connections'],
    ['VHS_LoadVideoPath', 'by their path'],
    ['LoadImagesFromFolderKJ', 'by their path'],
    ['LoadPromptsFromDir //Inspire', 'by their path'],
    ['PythonCodeNode', 'runs code'],
    ['shell_code-Node', 'runs code'],
  ])('%s is denied', (classType, why) => {
    const [said] = wordsOf(one(classType));
    expect(said).toMatch(new RegExp(`^node 1 \\(.*\\): this class .*${why}.*ALLOWED_NODE_CLASSES$`));
    expect(wordsOf(one(classType), 'graph-trusted')).toEqual([]);
    expect(wordsOf(one(classType), 'graph-restricted', { denied: [], allowed: [classType] })).toEqual([]);
  });

  test('what operators deny is denied, and what they allow is allowed before anything else', () => {
    const lists = { denied: ['Expensive*'], allowed: ['ExpensiveButFine', 'Train*'] };
    const classes = ['ExpensiveSampler', 'expensive_sampler', 'ExpensiveButFine', 'TrainLoraNode', 'NotExpensive'];
    const graph = Object.fromEntries(classes.map((name) => [name, { class_type: name, inputs: {} }]));
    expect(graphBreaches(graph, 'graph-restricted', lists).map(({ nodeId }) => nodeId)).toEqual(classes.slice(0, 2));
    expect(wordsOf(one('ExpensiveSampler'), 'graph-restricted', lists)[0]).toMatch(/denied by the operators/);
  });

  test('a name is matched as a whole, `*` standing for any text', () => {
    const text = fc.string({ maxLength: 5 });
    fc.assert(
      fc.property(text, text, text, (a, b, c) => {
        expect(isNamedBy([`${a}*${b}*`], `${a}${c}${b}${c}`)).toBe(true);
      }),
    );
    expect(isNamedBy(['ab*ba'], 'aba')).toBe(false);
    expect(isNamedBy(['Save'], 'SaveImage')).toBe(false);
  });
});

describe('B4 Values', () => {
  test.each(['LoadImage', 'LoadImageMask', 'LoadImageOutput'])(
    '%s takes what was brought, and nothing else',
    (loader) => {
      expect(wordsOf(one(loader, { image: BROUGHT, channel: 'alpha', upload: 'image' }))).toEqual([]);
      for (const image of [
        'example.png',
        `${BROUGHT} [output]`,
        `../${BROUGHT}`,
        { __value__: BROUGHT },
        ['7', 0],
        7,
      ]) {
        expect(wordsOf(one(loader, { image }))).toEqual([
          expect.stringMatching(/, image = .*: must be a file .*POST \/v1\/uploads/),
        ]);
      }
      expect(wordsOf(one(loader, { image: 'example.png' }), 'graph-trusted')).toEqual([]);
      expect(
        wordsOf(one(loader, { image: 'example.png' }), 'graph-restricted', { denied: [], allowed: [loader] }),
      ).toEqual([]);
    },
  );

  test.each([
    ['/etc/passwd', 'absolute'],
    ['  "/etc/passwd"', 'absolute'],
    ['..', 'leads out'],
    ['a/../../b', 'leads out'],
    ['a/.. /b', 'leads out'],
    ['./a', 'leads out'],
    ['a\\b', 'backslash'],
    ['C:/x', 'drive or an address'],
    ['https://x.test/a.png', 'drive or an address'],
    ['file:x', 'drive or an address'],
    ['~/x', 'home'],
    ['x.png [output]', 'folder of ComfyUI'],
    ['x.png[TEMP]', 'folder of ComfyUI'],
    ['a\0b', 'NUL'],
    ['dg/gen_1/1/9_00001_.png', 'no file of this request'],
    ['DG//inputs', 'no file of this request'],
  ])('%j is no plain name', (value, why) => {
    expect(pathFault(value)).toContain(why);
    const inputs = ['image_path', 'directory', 'folder', 'filename', 'URL'];
    for (const input of inputs) {
      expect(wordsOf(one('AnyLoader', { [input]: value }))).toHaveLength(1);
      expect(wordsOf(one('AnyLoader', { [input]: { __value__: ['fine', { deep: value }] } }))).toHaveLength(1);
    }
    expect(wordsOf(one('CLIPTextEncode', { text: value }))).toEqual([]);
  });

  test.each(['', 'model.safetensors', 'sdxl/detail v1..5 [x].safetensors', 'right', 'dgx/a', BROUGHT])(
    '%j is',
    (value) => {
      expect(pathFault(value)).toBeNull();
      expect(wordsOf(one('AnyLoader', { file: value }))).toEqual([]);
    },
  );

  test('a path that another node computes is refused, but no link into a name that only sounds so', () => {
    const link = ['2', 0];
    const source = { '2': { class_type: 'PrimitiveString', inputs: { value: '/etc/passwd' } } };
    const linked = (input: string) => wordsOf({ ...one('AnyLoader', { [input]: link }), ...source });
    expect(['path', 'image_path', 'videoFile', 'base_url', 'folder'].flatMap(linked)).toHaveLength(5);
    expect(['direction', 'profile', 'filename_prefix', 'images'].flatMap(linked)).toEqual([]);
  });

  test('a value however it is made: what leads out of a folder is seen', () => {
    const part = fc.stringMatching(/^[a-z0-9 _.-]{0,8}$/);
    fc.assert(
      fc.property(fc.array(part), fc.array(part), (before, after) => {
        expect(pathFault([...before, '..', ...after].join('/'))).not.toBeNull();
        expect(pathFault(`/${before.join('/')}x`)).not.toBeNull();
      }),
    );
  });
});

test('every breach is told at once, with node, title, class, input and value', () => {
  const graph: ApiGraph = {
    '1': { class_type: 'LoadImage', inputs: { image: 'a.png' }, _meta: { title: 'The photo' } },
    '2': { class_type: 'VHS_LoadImagesPath', inputs: { directory: '/home' } },
  };
  expect(wordsOf(graph)).toEqual([
    expect.stringMatching(/^node 2 \(VHS_LoadImagesPath\): this class reads/),
    expect.stringMatching(/^node 1 "The photo" \(LoadImage\), image = "a.png": must be a file/),
    expect.stringMatching(/^node 2 \(VHS_LoadImagesPath\), directory = "\/home": is an absolute path/),
  ]);
});

describe('What a ComfyUI knows', () => {
  const file = join(projectRoot, 'infra', 'simulators', 'comfyui', 'data', 'object-info.json');
  const recorded = JSON.parse(readFileSync(file, 'utf8')) as Record<string, { input: Record<string, object> }>;
  const loader = {
    input: { required: { photo: [['a.png'], { image_upload: true }], mode: [['x'], {}] } },
    category: 'image',
  };
  const catalogue = nodeCatalogueFrom({
    ...recorded,
    Painter: { input: {}, category: 'api node/image/Somebody', api_node: true },
    Renamed: { input: {}, category: 'image', api_node: true },
    Moved: { input: {}, category: 'image', python_module: 'comfy_api_nodes.nodes_x' },
    PackLoader: loader,
  });
  const breaches = (graph: ApiGraph, allowed: readonly string[] = []) =>
    catalogueBreaches(graph, (classType) => catalogue.factsOf(classType), allowed).map(breachInWords);

  test.each(['Painter', 'Renamed', 'Moved'])('%s spends money', (classType) => {
    expect(breaches(one(classType))).toEqual([expect.stringMatching(/may cost money/)]);
    expect(breaches(one(classType), [classType])).toEqual([]);
  });

  test('what is uploaded must have been brought', () => {
    expect(breaches(one('PackLoader', { photo: BROUGHT, mode: 'x' }))).toEqual([]);
    expect(breaches(one('PackLoader', { photo: 'a.png' }))).toEqual([expect.stringMatching(/photo = "a.png"/)]);
    expect(breaches(one('LoadVideo', { file: 'a.mp4' }))).toHaveLength(1);
  });

  test('of the recorded classes those that train or write models are denied, and no others', () => {
    const denied = Object.keys(recorded).filter((name) => {
      return wordsOf(one(name)).length + breaches(one(name)).length > 0;
    });
    expect(denied.sort()).toEqual([
      ...['CLIPSave', 'CheckpointSave', 'ImageOnlyCheckpointSave', 'LoadImageDataSetFromFolder'],
      ...['LoadImageTextDataSetFromFolder', 'LoadTrainingDataset', 'LoraSave', 'LossGraphNode', 'MakeTrainingDataset'],
      ...['ModelSave', 'ResolutionBucket', 'SaveImageDataSetToFolder', 'SaveImageTextDataSetToFolder', 'SaveLoRA'],
      ...['SaveTrainingDataset', 'TrainLoraNode', 'VAESave'],
    ]);
  });

  test('every recorded node that writes where it is told gets our prefix, or is denied', () => {
    const names = Object.entries(recorded).flatMap(([name, { input }]) =>
      Object.keys({ ...input['required'], ...input['optional'] })
        .filter((field) => field.includes('prefix') && name !== 'AddTextPrefix') // which changes texts
        .map((field) => [name, field] as const),
    );
    expect(names.length).toBeGreaterThan(10);
    for (const [name, field] of names) {
      const prefixed = prefixOutputs(one(name, { [field]: 'mine' }), 'g', 1)['1']?.inputs[field];
      if (prefixed === 'mine') expect(wordsOf(one(name))).toHaveLength(1);
    }
  });
});

test('graphs of people pass', () => {
  expect(wordsOf(textToImage())).toEqual([]);
  expect(wordsOf(segmented({ splitAt: 2 }))).toEqual([]);
});
