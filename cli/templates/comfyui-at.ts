import { parseComfyUIAddress } from '../../activities/comfyui/comfyui-address.js';
import { createComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { CliError } from './cli-error.js';

/** Runs `work` with the ComfyUI of an address that somebody typed. */
export async function withComfyUIAt<T>(url: string, work: (client: ComfyUIClient) => Promise<T>): Promise<T> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new CliError(`--url is "${url}", but must be the address of a ComfyUI, as in http://127.0.0.1:8188`);
  }
  const client = createComfyUIClient(parseComfyUIAddress(url));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}
