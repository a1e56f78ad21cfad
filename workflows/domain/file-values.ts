import { isNamedBy } from './class-rules.js';
import type { ClassFacts } from './class-rules.js';
import { isLink } from './graph.js';
import type { ApiGraph, GraphNode } from './graph.js';
import { breachOf } from './graph-breach.js';
import type { GraphBreach } from './graph-breach.js';

/** A file that came with a request, as loaders are given it. */
const BROUGHT = /^dg\/inputs\/[0-9a-f]{64}\.[a-z0-9]{1,5}$/;
/** Below it lie the results and the inputs of everybody. */
const OURS = 'dg';

/** Inputs of loaders, in ComfyUI and in widespread packs, that take nothing but a file which somebody uploaded. */
const LOADER_INPUTS: Readonly<Record<string, string>> = {
  LoadImage: 'image',
  LoadImageMask: 'image',
  LoadImageOutput: 'image',
  WebcamCapture: 'image',
  LoadVideo: 'file',
  LoadAudio: 'audio',
  RecordAudio: 'audio',
  LoadLatent: 'latent',
  Load3D: 'model_file',
  Load3DAnimation: 'model_file',
  VHS_LoadVideo: 'video',
  VHS_LoadVideoFFmpeg: 'video',
  VHS_LoadAudioUpload: 'audio',
};

/** B4: what an input of such a name holds may be used as a path. */
const LIKE_A_PATH = /path|dir|folder|file|url/i;
const PATH_WORDS = [
  ...['path', 'paths', 'dir', 'dirs', 'directory', 'folder', 'folders', 'file', 'files'],
  ...['filename', 'filenames', 'filepath', 'url', 'urls', 'uri'],
];
/** Replaced before a graph is submitted (`prefixOutputs`). */
const PREFIX = 'filename_prefix';

const BRING = 'bring the file with the request: POST /v1/uploads, then name it in `images`';

/** Values by which a graph would reach files that were not brought with the request, or addresses. */
export function valueBreaches(graph: ApiGraph, allowed: readonly string[]): readonly GraphBreach[] {
  return eachInput(graph, allowed, (node, input, value) => {
    const loader = Object.hasOwn(LOADER_INPUTS, node.class_type) ? LOADER_INPUTS[node.class_type] : undefined;
    if (input === loader) return loaderFault(value);
    if (input === PREFIX || !LIKE_A_PATH.test(input)) return null;
    if (isLink(value)) return isPathWord(input) ? 'takes a path and must hold a value, not a link' : null;
    return (
      textsIn(value)
        .map(pathFault)
        .find((fault) => fault !== null) ?? null
    );
  });
}

/** The same of inputs that only a ComfyUI knows to take uploaded files. */
export function uploadBreaches(
  graph: ApiGraph,
  ...[factsOf, allowed]: [(classType: string) => ClassFacts | null, readonly string[]]
): readonly GraphBreach[] {
  return eachInput(graph, allowed, (node, input, value) =>
    factsOf(node.class_type)?.uploadInputs.includes(input) === true ? loaderFault(value) : null,
  );
}

function eachInput(
  graph: ApiGraph,
  ...[allowed, faultOf]: [readonly string[], (node: GraphNode, input: string, value: unknown) => string | null]
): readonly GraphBreach[] {
  return Object.entries(graph).flatMap(([nodeId, node]) => {
    if (isNamedBy(allowed, node.class_type)) return [];
    return Object.entries(node.inputs).flatMap(([input, value]) => {
      const message = faultOf(node, input, value);
      return message === null ? [] : [breachOf(nodeId, node, { input, value, message })];
    });
  });
}

function loaderFault(value: unknown): string | null {
  if (typeof value === 'string' && BROUGHT.test(value)) return null;
  return `must be a file that was brought with the request; ${BRING}`;
}

/** Why a text may not stand where a path may be expected; `null` for a plain name, of a model for example. */
export function pathFault(text: string): string | null {
  const bare = text.replace(/^[\s"']+|[\s"']+$/g, ''); // nodes of packs take spaces and quotes off
  if (BROUGHT.test(text) || bare === '') return null;
  if (bare.includes('\0')) return 'holds a NUL character';
  if (bare.startsWith('/')) return `is an absolute path; ${BRING}`;
  if (bare.includes('\\')) return 'holds a backslash; write names of models with /';
  if (bare.includes('~')) return 'holds ~, which may lead to a home folder';
  if (/^[a-z][a-z0-9+.-]*:/i.test(bare)) return `names a drive or an address; ${BRING}`;
  if (/\[(input|output|temp)\]/i.test(bare)) return `leads into a folder of ComfyUI; ${BRING}`;
  const parts = bare.split('/').map((part) => part.trim());
  if (parts.some((part) => /^\.[.\s]*$/.test(part))) return 'leads out of its folder by . or ..';
  return parts.find((part) => part !== '')?.toLowerCase() === OURS ? `is no file of this request; ${BRING}` : null;
}

/** `image_path` and `imagePath`, but not `direction` and `profile`, which only hold the letters. */
function isPathWord(input: string): boolean {
  const words = input.split(/[^A-Za-z]+|(?<=[a-z])(?=[A-Z])/).map((word) => word.toLowerCase());
  return words.some((word) => PATH_WORDS.includes(word));
}

/** Every text in a value: ComfyUI takes lists, and unwraps `{"__value__": …}`. */
function textsIn(value: unknown): readonly string[] {
  const waiting: unknown[] = [value];
  const texts: string[] = [];
  for (const item of waiting) {
    if (typeof item === 'string') texts.push(item);
    else if (typeof item === 'object' && item !== null) for (const part of Object.values(item)) waiting.push(part);
  }
  return texts;
}
