import type { ApiGraph } from './graph.js';

/** Where files that callers brought lie below ComfyUI's input folder. */
export const INPUT_SUBFOLDER = 'dg/inputs';

/** Below it lie the files that are on their way, by the id of the upload. */
export const INCOMING_PREFIX = 'uploads/incoming/';

const INPUT_VALUE = new RegExp(`^${INPUT_SUBFOLDER}/(([0-9a-f]{64})\\.[a-z0-9]{1,5})$`);

/** A file that a graph names: the same bytes have the same name, on every ComfyUI and in the object store. */
export interface InputFile {
  /** `<sha256>.<extension>`. */
  readonly filename: string;
  readonly sha256: string;
  readonly objectKey: string;
}

export function inputObjectKey({ sha256, extension }: { readonly sha256: string; readonly extension: string }): string {
  return `inputs/${sha256}.${extension}`;
}

/** Where a file lies that a caller sends to the object store itself, until it was looked at. */
export function incomingObjectKey(uploadId: string): string {
  return `${INCOMING_PREFIX}${uploadId}`;
}

/** What a loader node is given: a path below the input folder. */
export function inputValue(objectKey: string): string {
  return `${INPUT_SUBFOLDER}/${objectKey.split('/').at(-1) ?? ''}`;
}

/** `null` for a value that is no such path. */
export function inputFileOf(value: unknown): InputFile | null {
  const [, filename, sha256] = typeof value === 'string' ? (INPUT_VALUE.exec(value) ?? []) : [];
  return filename === undefined || sha256 === undefined ? null : { filename, sha256, objectKey: `inputs/${filename}` };
}

/** Every file that the nodes of a graph are given, each once. */
export function inputFilesOf(graph: ApiGraph): readonly InputFile[] {
  const values = Object.values(graph).flatMap(({ inputs }) => Object.values(inputs));
  const files = values.map(inputFileOf).filter((file) => file !== null);
  return [...new Map(files.map((file) => [file.filename, file])).values()];
}
