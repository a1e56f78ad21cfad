import { createHash, randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ComfyUITarget } from '../infra/runtime/comfyui-config.js';
import type { GpuConfig } from './worker-config.js';

/**
 * The id of one ComfyUI, the same over restarts of its worker, so that a new worker finds the prompts of the old one:
 * `BACKEND_ID` (numbered when several addresses are configured), or a random one kept in the data folder.
 */
export async function backendIdOf(gpu: GpuConfig, target: ComfyUITarget, dataDir: string): Promise<string> {
  const position = gpu.targets.indexOf(target) + 1;
  if (gpu.backendId !== '') return gpu.targets.length === 1 ? gpu.backendId : `${gpu.backendId}-${position}`;
  const folder = join(dataDir, 'backends');
  const path = join(folder, `${fingerprint(target)}.id`);
  await mkdir(folder, { recursive: true });
  // Written aside and linked: under its own name the file is whole, and the first of two that start at once wins.
  const aside = `${path}.${randomBytes(4).toString('hex')}`;
  await writeFile(aside, `gpu-${randomBytes(4).toString('hex')}`);
  try {
    await link(aside, path);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { force: true });
  }
  return (await readFile(path, 'utf8')).trim();
}

/** Names the file, not the address: addresses may carry credentials. */
function fingerprint(target: ComfyUITarget): string {
  const text = target.kind === 'fixed' ? target.url : target.host;
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
