import { testServers } from './stack.js';

/** Calls Temporal's HTTP API on the port of its Web UI, as the page does: with the cookie and its token as a header. */
export async function webUiPost(namespace: string, path: string, body: unknown): Promise<void> {
  const { temporalUiUrl } = testServers();
  const page = await fetch(temporalUiUrl);
  await page.text();
  const cookie = page.headers.getSetCookie().find((text) => text.startsWith('_csrf=')) ?? '';
  const token = /^_csrf=([^;]*)/.exec(cookie)?.[1] ?? '';
  const response = await fetch(`${temporalUiUrl}/api/v1/namespaces/${namespace}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', cookie: `_csrf=${token}`, 'x-csrf-token': token },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
}
