import { canonical, canonicalSha256 } from './canonical-json.js';
import type { ObjectStore } from './object-store.js';

/** A JSON document in the object store, alone or among others in one object. */
export interface DocumentReference {
  /** Object key, `<folder>/<sha256>.json`: the hash of the document, or of all that lie there. */
  readonly key: string;
  /** Of the document itself, lower-case hex. */
  readonly sha256: string;
}

/** What one object holds of many documents: written in one request, and read for one of them without much beside it. */
const MAX_TOGETHER_CHARS = 200_000;

/** Under its own hash: the same document is stored once, and never changes. */
export async function storeDocument(
  store: ObjectStore,
  ...[folder, document]: [string, object]
): Promise<DocumentReference> {
  const sha256 = canonicalSha256(document);
  const key = `${folder}/${sha256}.json`;
  await store.writeJson(key, canonical(document), { kind: 'absent' }); // refused: the same is there already
  return { key, sha256 };
}

/**
 * Many documents in few objects, for each document where it lies: 10,000 small ones alone would be as many requests. Such
 * an object holds documents by their hash; a document that comes alone lies alone.
 */
export async function storeDocuments<Document extends object>(
  store: ObjectStore,
  ...[folder, documents]: [string, readonly Document[]]
): Promise<ReadonlyMap<Document, DocumentReference>> {
  const references = new Map<Document, DocumentReference>();
  for (const part of inParts(documents)) {
    const [first] = part;
    if (first !== undefined && part.length === 1) {
      references.set(first, await storeDocument(store, folder, first));
      continue;
    }
    const hashed = part.map((document) => [canonicalSha256(document), document] as const);
    const { key } = await storeDocument(store, folder, Object.fromEntries(hashed));
    for (const [sha256, document] of hashed) references.set(document, { key, sha256 });
  }
  return references;
}

function* inParts<Document extends object>(documents: readonly Document[]): Generator<readonly Document[]> {
  let [part, chars]: [Document[], number] = [[], 0];
  for (const document of documents) {
    part.push(document);
    chars += JSON.stringify(document).length;
    if (chars < MAX_TOGETHER_CHARS) continue;
    yield part;
    [part, chars] = [[], 0];
  }
  if (part.length > 0) yield part;
}

/** `undefined` when it is not there, or no longer. */
export async function readDocument(
  store: Pick<ObjectStore, 'readJson'>,
  reference: DocumentReference,
): Promise<unknown> {
  return documentIn((await store.readJson(reference.key))?.value, reference);
}

/** The document among what lies under its key. */
function documentIn(stored: unknown, { key, sha256 }: DocumentReference): unknown {
  if (key.endsWith(`/${sha256}.json`)) return stored;
  return typeof stored === 'object' && stored !== null
    ? Object.entries(stored).find(([hash]) => hash === sha256)?.[1]
    : undefined;
}
