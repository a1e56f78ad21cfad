import type { Server } from 'node:http';

/** As aiohttp leaves it, on which ComfyUI runs (web.AppRunner, keepalive_timeout): 75 s. Node closes after 5. */
const IDLE_CONNECTION_MS = 75_000;

/** The address at which the server then listens; rejects when the port is taken. */
export async function listening(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<string> {
  server.keepAliveTimeout = IDLE_CONNECTION_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  return `http://${host}:${typeof address === 'object' && address !== null ? address.port : port}`;
}
