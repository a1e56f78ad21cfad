import { comfyUIHeadersFrom } from './comfyui-headers.js';
import type { Headers } from './comfyui-headers.js';
import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';

/** Where to look for one ComfyUI: at a fixed address, or on a host whose ports are probed; never a mixture. */
export type ComfyUITarget = (
  | { readonly kind: 'fixed'; readonly url: string }
  | { readonly kind: 'discover'; readonly host: string; readonly ports: readonly number[] }
) & {
  /** Sent with every request and with the handshake of the websocket; they may be secret. */
  readonly headers?: Headers;
};

/** R2.1: ComfyUI, ComfyUI inside SwarmUI, ComfyUI's alternative, SwarmUI's main port; in this order. */
export const DISCOVERY_PORTS: readonly number[] = [8188, 7821, 8189, 7860];

/** One target for each address in `COMFYUI_URL` (separated by commas), else one that probes `COMFYUI_HOST`. */
export function comfyUITargetsFrom(env: Env): readonly ComfyUITarget[] {
  const urls = stringFrom(env, 'COMFYUI_URL', '');
  const host = stringFrom(env, 'COMFYUI_HOST', '');
  if (urls !== '' && host !== '') throw new ConfigError('Set COMFYUI_URL or COMFYUI_HOST, not both');
  const addresses = urls === '' ? [] : urls.split(',').map((text) => checkedUrl(text.trim()));
  const headers = comfyUIHeadersFrom(env, Math.max(1, addresses.length));
  const withHeaders = (index: number) => (headers[index] === undefined ? {} : { headers: headers[index] });
  if (urls !== '') return addresses.map((url, index) => ({ kind: 'fixed', url, ...withHeaders(index) }));
  return [{ kind: 'discover', host: host === '' ? '127.0.0.1' : host, ports: DISCOVERY_PORTS, ...withHeaders(0) }];
}

function checkedUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  // The value is not repeated: it may carry a password.
  throw new ConfigError('COMFYUI_URL must be one or more addresses such as http://127.0.0.1:8188, separated by commas');
}
