/** Where a ComfyUI is, and how to get in. Stays in its worker: credentials never enter a history, a report or a log. */
export interface ComfyUIAddress {
  /** Origin and path prefix without a trailing slash, no credentials. */
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Query parameters that a proxy wants on every request, for example `token`. */
  readonly query: Readonly<Record<string, string>>;
  /** `host:port`, for people. */
  readonly label: string;
}

/** `http://user:password@host:8188/prefix?token=x` taken apart; the user information becomes a Basic header. */
export function parseComfyUIAddress(text: string): ComfyUIAddress {
  const url = new URL(text);
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const authorization =
    credentials === ':' ? {} : { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
  return {
    baseUrl: `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
    headers: authorization,
    query: Object.fromEntries(url.searchParams),
    label: url.host,
  };
}

/** Credentials that stand in the address itself are the more special ones. */
export function withHeaders(address: ComfyUIAddress, headers: Readonly<Record<string, string>>): ComfyUIAddress {
  return { ...address, headers: { ...headers, ...address.headers } };
}

/** The absolute address of a path on this ComfyUI, every query value percent-encoded (R3.1). */
export function urlOf(address: ComfyUIAddress, path: string, query: Readonly<Record<string, string>> = {}): URL {
  const url = new URL(`${address.baseUrl}${path}`);
  for (const [name, value] of Object.entries({ ...address.query, ...query })) url.searchParams.set(name, value);
  return url;
}
