import type { SimulatorOptions } from './options.js';

/** GET /features, and the reply to a client's feature_flags (recorded: features.json). */
export function serverFeatures(options: Pick<SimulatorOptions, 'maxUploadMb' | 'version'>) {
  return {
    supports_preview_metadata: true,
    max_upload_size: maxUploadBytes(options),
    ...options.version.features,
  };
}

/** Can be fractional, as in ComfyUI. */
export function maxUploadBytes({ maxUploadMb }: Pick<SimulatorOptions, 'maxUploadMb'>): number {
  return maxUploadMb * 1024 * 1024;
}
