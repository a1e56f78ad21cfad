import type { Client } from 'minio';

/** A page has at most 1000 keys of at most 1024 bytes; some are six times that as entities. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;

/**
 * All keys below a prefix. The client's own listing asks for keys in percent-encoding and decodes what comes; versitygw
 * sends them plain all the same, so that `a%20b` became `a b`, and a lone `%` broke the listing.
 */
export async function listKeys(client: Client, bucket: string, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  let after: string | null = null;
  do {
    const page = await readPage(client, bucket, queryFor(prefix, after));
    keys.push(...textsOf(page, 'Key'));
    after = textsOf(page, 'IsTruncated')[0] === 'true' ? (textsOf(page, 'NextContinuationToken')[0] ?? null) : null;
  } while (after !== null);
  return keys;
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

function textsOf(xml: string, element: string): string[] {
  const found = xml.matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'));
  return [...found].map(([, text = '']) => withoutEntities(text));
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
