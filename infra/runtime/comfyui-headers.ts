import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';

export type Headers = Readonly<Record<string, string>>;

/** RFC 9110, field names and what a field value may not have. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const UNPRINTABLE = /[^\t\x20-\x7e\x80-\xff]/;

/** Values are not repeated in messages: they are secrets. */
const FORMS =
  'COMFYUI_HEADERS must be lines "name: value", a JSON object {"name": "value"} for every ComfyUI, or a JSON list with one object for each address in COMFYUI_URL';

/**
 * Headers that the ComfyUIs want, of proxies that authenticate for example: one set for each address, `undefined` where
 * none are set.
 */
export function comfyUIHeadersFrom(env: Env, addresses: number): readonly (Headers | undefined)[] {
  const text = stringFrom(env, 'COMFYUI_HEADERS', '').trim();
  if (text === '') return Array.from({ length: addresses }, () => undefined);
  const given: unknown = /^[[{]/.test(text) ? jsonOf(text) : fromLines(text);
  if (!Array.isArray(given)) return Array.from({ length: addresses }, () => headersOf(given));
  if (given.length !== addresses) {
    throw new ConfigError(`COMFYUI_HEADERS has ${given.length} objects for ${addresses} addresses in COMFYUI_URL`);
  }
  return given.map(headersOf);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConfigError(FORMS);
  }
}

function fromLines(text: string): Headers {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      if (colon < 0) throw new ConfigError(FORMS);
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    }),
  );
}

function headersOf(given: unknown): Headers {
  if (typeof given !== 'object' || given === null) throw new ConfigError(FORMS);
  return Object.fromEntries(
    Object.entries(given).map(([name, value]: [string, unknown]) => {
      if (!NAME.test(name) || typeof value !== 'string' || UNPRINTABLE.test(value)) throw new ConfigError(FORMS);
      return [name.toLowerCase(), value];
    }),
  );
}
