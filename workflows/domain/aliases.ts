import { isModelFile } from './classify-execution-error.js';

/** Inputs of ComfyUI, and parameters of templates, that name a sampler or a scheduler. */
const SAMPLING_INPUT = /^(sampler|scheduler)(_name)?$/;

/**
 * The one allowed value that is only another spelling of the given one; `null` when that is allowed as it is, or when
 * none or several come into question (R3.4). Samplers go by the names of other programs (`k_euler_a`, `DPM++ 2M`), model
 * files by another format of the same stem or with the separators of another system.
 */
export function aliasOf(input: string, value: string, allowed: readonly string[]): string | null {
  if (allowed.includes(value)) return null;
  const spelling = spellingFor(input, value);
  if (spelling === null) return null;
  const same = allowed.filter((other) => spelling(other) === spelling(value));
  return same.length === 1 ? (same[0] ?? null) : null;
}

function spellingFor(input: string, value: string): ((name: string) => string) | null {
  if (SAMPLING_INPUT.test(input)) return samplingSpelling;
  return isModelFile(value) ? modelSpelling : null;
}

/** `euler_ancestral`, `k_euler_a` and `Euler a` are one; so are `dpmpp_2m`, `DPM++ 2M` and `k_dpmpp_2m`. */
function samplingSpelling(name: string): string {
  return name
    .toLowerCase()
    .replaceAll('+', 'p')
    .split(/[\s_-]+/)
    .filter((word, index) => !(index === 0 && word === 'k'))
    .map((word, index, words) => (word === 'a' && index === words.length - 1 ? 'ancestral' : word))
    .join('');
}

function modelSpelling(name: string): string {
  return name
    .replaceAll('\\', '/')
    .toLowerCase()
    .replace(/\.[a-z0-9]+$/, '');
}
