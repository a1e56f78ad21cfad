import type { Client } from 'minio';

/** A page has at most 1000 keys of at most 1024 bytes; some are six times that as entities. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;

/** An object as a list shows it. */
export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly modifiedAtMs: number;
}

/**
 * All objects below a prefix, page by page. The client's own listing asks for keys in percent-encoding and decodes what
 * comes; versitygw sends them plain all the same, so that `a%20b` became `a b`, and a lone `%` broke the listing.
 */
export async function* listObjects(client: Client, bucket: string, prefix: string): AsyncGenerator<StoredObject> {
  let after: string | null = null;
  do {
    const page: string = await readPage(client, bucket, queryFor(prefix, after));
    yield* [...page.matchAll(/<Contents>(.*?)<\/Contents>/gs)].map(([, entry = '']) => objectOf(entry));
    after = textOf(page, 'IsTruncated') === 'true' ? textOf(page, 'NextContinuationToken') : null;
  } while (after !== null);
}

function objectOf(entry: string): StoredObject {
  const [key, size, modified] = ['Key', 'Size', 'LastModified'].map((element) => textOf(entry, element));
  if (key == null || size == null || modified == null) throw new Error('an entry of its listing is not whole');
  return { key, bytes: Number(size), modifiedAtMs: Date.parse(modified) };
}

/** In alphabetical order, as it is signed. */
function queryFor(prefix: string, after: string | null): string {
  const token = after === null ? '' : `continuation-token=${encoded(after)}&`;
  return `${token}list-type=2&prefix=${encoded(prefix)}`;
}

/** Signatures want every character but letters, digits and `-_.~` encoded. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

async function readPage(client: Client, bucketName: string, query: string): Promise<string> {
  const response = await client.makeRequestAsync({ method: 'GET', bucketName, query });
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MAX_PAGE_BYTES) throw new Error('a page of its listing is larger than a thousand keys can be');
  }
  return text;
}

function textOf(xml: string, element: string): string | null {
  const [, text] = new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml) ?? [];
  return text === undefined ? null : withoutEntities(text);
}

const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function withoutEntities(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|([a-z]+));/gi, (entity, ...groups: (string | undefined)[]) => {
    const [hex, decimal, name = ''] = groups;
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return NAMED[name] ?? entity;
  });
}
