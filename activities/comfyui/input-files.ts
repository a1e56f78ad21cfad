import { openAsBlob } from 'node:fs';
import pLimit from 'p-limit';
import type { LimitFunction } from 'p-limit';
import type { Scratch } from '../../infra/runtime/scratch.js';
import type { InputFile } from '../../workflows/domain/input-files.js';
import { writeCounted } from '../spool/write-counted.js';
import { ObjectStoreError } from '../storage/errors.js';
import type { ObjectStore } from '../storage/object-store.js';
import type { ComfyUIClient } from './comfyui-client.js';

/** A file that a graph names and that the object store does not have (any more), or not whole. */
export class InputMissingError extends Error {
  override readonly name = 'InputMissingError';
}

/** Brings the files of callers into ComfyUI's input folder, each once for as long as that ComfyUI lives. */
export interface InputFiles {
  /** Throws `InputMissingError`, `InputRefusedError`, or what a broken connection throws. */
  bring(client: ComfyUIClient, files: readonly InputFile[], signal: AbortSignal): Promise<void>;
  /** ComfyUI said that it does not have them: somebody has emptied its folder. */
  forget(client: ComfyUIClient, files: readonly InputFile[]): void;
}

interface Known {
  readonly names: Set<string>;
  /** One at a time: whoever waits finds that it is there. */
  readonly oneByOne: LimitFunction;
}

export function createInputFiles({
  store,
  scratch,
}: {
  readonly store: Pick<ObjectStore, 'open'>;
  readonly scratch: Scratch;
}): InputFiles {
  // A ComfyUI that was gone and is back has a client of its own, and may have another folder.
  const known = new WeakMap<ComfyUIClient, Known>();
  const knownBy = (client: ComfyUIClient): Known => {
    const found = known.get(client) ?? { names: new Set<string>(), oneByOne: pLimit(1) };
    known.set(client, found);
    return found;
  };
  return {
    async bring(client, files, signal) {
      const { names, oneByOne } = knownBy(client);
      for (const file of files) {
        await oneByOne(async () => {
          if (names.has(file.filename)) return;
          await scratch.use(async (path) => {
            await fetchFrom(store, { file, path, signal });
            await client.uploadInput({ filename: file.filename, bytes: await openAsBlob(path) }, signal);
          });
          names.add(file.filename);
        });
      }
    },
    forget(client, files) {
      for (const { filename } of files) knownBy(client).names.delete(filename);
    },
  };
}

async function fetchFrom(
  store: Pick<ObjectStore, 'open'>,
  { file, path, signal }: { readonly file: InputFile; readonly path: string; readonly signal: AbortSignal },
): Promise<void> {
  const { objectKey, sha256 } = file;
  const body = await store.open(objectKey).catch((error: unknown) => {
    const isAbsent = error instanceof ObjectStoreError && error.code === 'NoSuchKey';
    throw isAbsent ? new InputMissingError(`The file ${objectKey} is not in the object store: it was removed`) : error;
  });
  const errors = {
    refused: (message: string) => new InputMissingError(message),
    broken: (cause: unknown) => new ObjectStoreError(objectKey, { cause }),
  };
  const written = await writeCounted({ body, path, from: objectKey, announced: undefined, signal, errors });
  if (written.sha256 !== sha256) throw new InputMissingError(`The object ${objectKey} holds another file`);
}
