import type { FileStore } from './file-store.js';
import { inputError } from './validation-error.js';
import type { ValidationError } from './validation-error.js';

/** Classes whose VALIDATE_INPUTS checks that an input file exists (ComfyUI 0.8.0, nodes.py and comfy_extras; Video Helper Suite). */
const FILE_CHECKS: Readonly<Record<string, { readonly input: string; readonly noun: string }>> = {
  LoadImage: { input: 'image', noun: 'image' },
  LoadImageMask: { input: 'image', noun: 'image' },
  LoadImageOutput: { input: 'image', noun: 'image' },
  LoadLatent: { input: 'latent', noun: 'latent' },
  LoadAudio: { input: 'audio', noun: 'audio' },
  LoadVideo: { input: 'file', noun: 'video' },
  VHS_LoadVideo: { input: 'video', noun: 'video' },
};

/** The class looks at this input itself, so lists and ranges are not checked. */
export function isSelfChecked(classType: string, inputName: string): boolean {
  return FILE_CHECKS[classType]?.input === inputName;
}

export function customValidationError(
  classType: string,
  inputs: Readonly<Record<string, unknown>>,
  files: FileStore,
): ValidationError | null {
  const check = FILE_CHECKS[classType];
  const name = check === undefined ? undefined : inputs[check.input];
  if (check === undefined || typeof name !== 'string' || files.annotatedPath(name) !== null) return null;
  return inputError({ type: 'custom_validation_failed', message: 'Custom validation failed for node' }, check.input, {
    details: `${check.input} - Invalid ${check.noun} file: ${name}`,
  });
}
