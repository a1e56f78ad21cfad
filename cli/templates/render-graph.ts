import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import type { FinishedPrompt } from '../../activities/comfyui/prompt-state.js';
import type { OutputReference } from '../../workflows/contracts/activities.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { CliError } from './cli-error.js';

/** A large video on a slow card; a tool that nobody watches must end all the same. */
const RENDER_MS = 60 * 60_000;
const LOOK_EVERY_MS = 250;
const DOWNLOAD_MS = 5 * 60_000;
/** A tool shows what it gets; more than this is not to be looked at. */
const MAX_FILE_BYTES = 512 * 1024 * 1024;

export interface RenderedFile {
  readonly reference: OutputReference;
  readonly filename: string;
  readonly bytes: Buffer;
}

/** Renders a graph on a ComfyUI and brings its files. Throws `CliError` when it fails or takes more than an hour. */
export async function renderGraph(client: ComfyUIClient, graph: ApiGraph): Promise<readonly RenderedFile[]> {
  const promptId = randomUUID();
  await client.submit({ graph, promptId, extraData: {} });
  const { outputs } = await finished(client, promptId);
  const files: RenderedFile[] = [];
  for (const reference of outputs) {
    if (reference.file === null) continue;
    files.push({ reference, filename: reference.file.filename, bytes: await download(client, reference.file) });
  }
  return files;
}

async function finished(client: ComfyUIClient, promptId: string): Promise<FinishedPrompt> {
  const { label } = client.address;
  const endsAt = performance.now() + RENDER_MS;
  for (;;) {
    const state = await client.promptState(promptId);
    if (state.status === 'succeeded') return state.finished;
    if (state.status === 'failed') {
      const { nodeId, nodeType, exceptionMessage } = state.error;
      throw new CliError(`${label}: node ${nodeId} (${nodeType}) failed: ${exceptionMessage}`);
    }
    if (state.status === 'interrupted') throw new CliError(`${label}: somebody interrupted the rendering`);
    if (performance.now() > endsAt) {
      await client.stop(promptId);
      throw new CliError(`${label}: the rendering took more than ${RENDER_MS / 60_000} min and was stopped`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

async function download(client: ComfyUIClient, file: NonNullable<OutputReference['file']>): Promise<Buffer> {
  const query = { filename: file.filename, subfolder: file.subfolder, type: file.type };
  const ask = { path: '/api/view', query, signal: undefined, totalMs: DOWNLOAD_MS };
  return client.http.open(ask, async ({ statusCode, body }) => {
    if (statusCode !== 200) {
      await body.dump();
      throw new CliError(`${client.address.label} answered ${statusCode} for ${file.filename}`);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > MAX_FILE_BYTES) throw new CliError(`${file.filename} has more than ${MAX_FILE_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  });
}
