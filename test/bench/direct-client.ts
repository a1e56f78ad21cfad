import { randomUUID } from 'node:crypto';
import { Client as MinioClient } from 'minio';
import WebSocket from 'ws';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { graphOf, nextSeed } from './picture.js';

interface HistoryEntry {
  readonly outputs: Readonly<Record<string, { readonly images?: readonly ImageReference[] }>>;
}

interface ImageReference {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: string;
}

/**
 * What somebody writes who needs no durability: a websocket, `POST /prompt`, the history when the event says that it is
 * done, `/view`, and the bytes into the object store.
 */
export function createDirectClient(storage: StorageConfig): (comfyUrl: string) => Promise<void> {
  const store = new MinioClient({
    endPoint: storage.endpoint.hostname,
    port: Number(storage.endpoint.port),
    useSSL: false,
    accessKey: storage.accessKeyId,
    secretKey: storage.secretAccessKey,
    region: storage.region,
  });
  return async function makePicture(comfyUrl) {
    const promptId = randomUUID();
    const socket = new WebSocket(`${comfyUrl.replace('http', 'ws')}/ws?clientId=${promptId}`);
    try {
      const finished = untilFinished(socket, promptId);
      await opened(socket);
      const prompt = { prompt: graphOf(nextSeed()), prompt_id: promptId, client_id: promptId };
      await fetchOk(`${comfyUrl}/prompt`, { method: 'POST', body: JSON.stringify(prompt) });
      await finished;
      const history = (await (await fetchOk(`${comfyUrl}/history/${promptId}`)).json()) as Record<string, HistoryEntry>;
      const image = Object.values(history[promptId]?.outputs ?? {}).flatMap(({ images }) => images ?? [])[0];
      if (image === undefined) throw new Error('The history has no picture');
      const view = await fetchOk(`${comfyUrl}/view?${new URLSearchParams({ ...image }).toString()}`);
      const bytes = Buffer.from(await view.arrayBuffer());
      await store.putObject(storage.bucket, `direct/${promptId}.png`, bytes);
    } finally {
      socket.terminate();
    }
  };
}

async function fetchOk(url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
}

/** `executing` without a node is the last event of a prompt; the history has been written by then. */
function untilFinished(socket: WebSocket, promptId: string): Promise<void> {
  return new Promise((resolve) => {
    socket.on('message', (data, isBinary) => {
      if (isBinary || !Buffer.isBuffer(data)) return;
      const { type, data: facts } = JSON.parse(data.toString('utf8')) as {
        readonly type: string;
        readonly data: { readonly node?: string | null; readonly prompt_id?: string };
      };
      if (type === 'executing' && facts.node === null && facts.prompt_id === promptId) resolve();
    });
  });
}
