import { beforeAll, expect, test } from '@jest/globals';
import { createGraphReader } from '../../activities/storage/graph-reader.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { readDocument, storeDocument, storeDocuments } from '../../activities/storage/stored-documents.js';
import { createTestBucket } from '../support/stack.js';

let store: ObjectStore;
beforeAll(async () => {
  store = createObjectStore(await createTestBucket());
});

const PROMPT = 'a lighthouse at dusk, '.repeat(90); // 2 kB, as a graph has
const graphs = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    '3': { class_type: 'KSampler', inputs: { seed: from + index, text: PROMPT } },
  }));

test('R4.8 thousands of documents lie in few objects, and each is found by its own hash', async () => {
  const documents = graphs(0, 2_000);
  const stored = await storeDocuments(store, 'many', documents);
  expect((await store.keysUnder('many/')).length).toBeLessThan(30);
  expect(new Set([...stored.values()].map(({ sha256 }) => sha256)).size).toBe(2_000);
  for (const index of [0, 1, 99, 100, 1_234, 1_999]) {
    const document = documents[index];
    const reference = document && stored.get(document);
    expect(reference && (await readDocument(store, reference))).toEqual(document);
  }
});

test('a document that comes alone lies where it would lie without the others', async () => {
  const [graph = {}] = graphs(5_000, 1);
  const alone = await storeDocument(store, 'alone', graph);
  expect((await storeDocuments(store, 'alone', [graph])).get(graph)).toEqual(alone);
  expect(await store.keysUnder('alone/')).toEqual([alone.key]);
});

test('what is not there, alone or among others, is undefined', async () => {
  const [first = {}, second = {}] = graphs(6_000, 2);
  const { key } = (await storeDocuments(store, 'gone', [first, second])).get(first) ?? { key: '' };
  const sha256 = 'f'.repeat(64);
  expect(await readDocument(store, { key, sha256 })).toBeUndefined();
  expect(await readDocument(store, { key: `gone/${sha256}.json`, sha256 })).toBeUndefined();
});

test('graphs of one object are read from the store once', async () => {
  const documents = graphs(7_000, 3);
  const stored = await storeDocuments(store, 'graphs', documents);
  let reads = 0;
  const readGraph = createGraphReader({
    readJson: async (key) => {
      reads += 1;
      return store.readJson(key);
    },
  });
  for (const document of documents) {
    const reference = stored.get(document);
    expect(reference && (await readGraph(reference))).toEqual(document);
  }
  expect(reads).toBe(1);
});
