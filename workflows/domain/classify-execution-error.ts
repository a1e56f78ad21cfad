import type { FailureKind } from './failure.js';

/** What ComfyUI says of a node that raised an exception. */
export interface ExecutionError {
  readonly exceptionType: string;
  readonly exceptionMessage: string;
  readonly lastTracebackLine: string;
}

interface Pattern {
  readonly kind: FailureKind;
  /** Matched against type, message and last traceback line, letter case ignored. */
  readonly pattern: RegExp;
}

/**
 * Texts of real servers, quoted in public threads; the order matters: the missing kernel image before a poisoned device,
 * out of memory before both generic "CUDA error" forms.
 */
const PATTERNS: readonly Pattern[] = [
  { kind: 'ENVIRONMENT', pattern: /no kernel image is available/ },
  { kind: 'HOST_OOM', pattern: /defaultcpuallocator|paging file is too small|os error 1455|\bmemoryerror\b/ },
  {
    kind: 'CUDA_OOM',
    pattern: /(cuda error: |hip |mps backend )out of memory|outofmemoryerror|allocation on device|cuda out of memory/,
  },
  { kind: 'DEVICE_POISONED', pattern: /(cuda|hip) error: (an illegal memory access|device-side assert|unknown error)/ },
  {
    kind: 'DEVICE_POISONED',
    pattern: /unspecified launch failure|cublas_status_internal_error|cudnn_status_execution_failed/,
  },
  {
    kind: 'MODEL_CORRUPT',
    pattern: /safetensorerror|error while deserializing header|incomplete ?metadata|safetensors file is corrupt/,
  },
  { kind: 'MODEL_INCOMPATIBLE', pattern: /could not detect model type/ },
  {
    kind: 'MODEL_MISSING',
    pattern: /model in folder '.*' with filename '.*' not found|error no file named .* found in directory/,
  },
  { kind: 'MODEL_MISSING', pattern: /model_file .* should exist/ },
  {
    kind: 'NO_FACE',
    pattern: /no face(s)? (was |were )?(detected|found)|no source face|\bfaces?\b.{0,60}\bnot (be )?(detected|found)/,
  },
  { kind: 'DISK_FULL', pattern: /errno 28|no space left on device/ },
  { kind: 'NETWORK_ERROR', pattern: /max retries exceeded|failed to establish a new connection|failed to resolve/ },
  {
    kind: 'NETWORK_ERROR',
    pattern:
      /localentrynotfounderror|connectionerror|urlerror|aiohttp\.client_exceptions|outgoing traffic has been disabled/,
  },
  { kind: 'TIMEOUT', pattern: /request timed out|read timed out|timeouterror/ },
  { kind: 'BAD_INPUT', pattern: /unidentifiedimageerror|cannot identify image file/ },
  { kind: 'WORKFLOW_ERROR', pattern: /shapes cannot be multiplied|insightface model is required/ },
  { kind: 'WORKFLOW_ERROR', pattern: /saving image outside the output folder/ },
];

/** As much of each text as is searched: a message may carry a whole tensor, and must not hide the traceback line. */
const MAX_SEARCHED_CHARS = 8_000;

/** What patterns are looked for in. */
export function searchedTextOf(error: ExecutionError): string {
  return [error.exceptionType, error.exceptionMessage, error.lastTracebackLine]
    .map((part) => part.slice(0, MAX_SEARCHED_CHARS))
    .join('\n');
}

/** The failure kind of a node's exception; `WORKFLOW_ERROR` when nothing more precise is known: the node said no. */
export function classifyExecutionError(error: ExecutionError): FailureKind {
  const text = searchedTextOf(error).toLowerCase();
  return PATTERNS.find(({ pattern }) => pattern.test(text))?.kind ?? 'WORKFLOW_ERROR';
}

/** Inputs whose options are files in the model folders: a value that is not in the list is a model that is not there. */
const MODEL_INPUT =
  /^(ckpt|lora|vae|unet|clip|control_net|model|style_model|gligen|upscale_model|diffusion_model)_?name\d*$/;
const MODEL_FILE = /\.(safetensors|ckpt|pt|pth|bin|gguf|onnx|sft)$/i;

/** By its name. */
export function isModelFile(value: unknown): value is string {
  return typeof value === 'string' && MODEL_FILE.test(value);
}

/** `MODEL_MISSING` when every complaint is about an absent model file, else `WORKFLOW_ERROR`. */
export function classifyRejection(
  faults: readonly { readonly type: string; readonly inputName: string | null; readonly receivedValue: unknown }[],
): FailureKind {
  const isMissingModel = faults.every(
    ({ type, inputName, receivedValue }) =>
      type === 'value_not_in_list' && (MODEL_INPUT.test(inputName ?? '') || isModelFile(receivedValue)),
  );
  return faults.length > 0 && isMissingModel ? 'MODEL_MISSING' : 'WORKFLOW_ERROR';
}
