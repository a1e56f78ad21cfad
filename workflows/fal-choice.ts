import type { FalRequest, NoFalRequest, ProviderMode } from './contracts/fal.js';

/** What of a generation decides whether fal.ai may stand in. */
export interface FalChoice<Request extends Pick<FalRequest, 'modelId' | 'leftOut'> = FalRequest> {
  readonly provider: ProviderMode;
  readonly fal: Request | NoFalRequest;
  readonly isStrict: boolean;
}

/** The request if nothing that is known of it forbids it, else why not, in words. */
export function falRequestOf<Request extends Pick<FalRequest, 'modelId' | 'leftOut'>>({
  provider,
  fal,
  isStrict,
}: FalChoice<Request>): Request | NoFalRequest {
  if (provider === 'comfyui-only') return { reason: 'the request says comfyui-only' };
  if ('reason' in fal) return fal;
  if (provider === 'comfyui' && isStrict && fal.leftOut.length > 0) {
    return { reason: `the request is strict, and ${fal.modelId} does not know ${fal.leftOut.join(', ')}` };
  }
  return fal;
}
