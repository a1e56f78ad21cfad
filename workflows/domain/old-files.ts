/** ComfyUI's own names of its three folders. */
export const COMFYUI_FOLDERS = ['output', 'temp', 'input'] as const;
export type ComfyUIFolder = (typeof COMFYUI_FOLDERS)[number];

/** Old files in a ComfyUI's folders that stay or go together. */
export interface OldFiles {
  readonly folder: ComfyUIFolder;
  /** A generation's folder under `dg/`, one file under `dg/inputs/`, or everything that is not under `dg/`. */
  readonly owner: 'generation' | 'input' | 'others';
  /** Generation id, file name (`<sha256>.<extension>`), or nothing. */
  readonly name: string;
  /** Milliseconds since the epoch by that host's clock: a file that changed later stays. */
  readonly beforeMs: number;
  readonly files: number;
  readonly bytes: number;
}

/** Whose files a page has. */
export interface FileOwners {
  readonly generationIds: readonly string[];
  readonly inputs: readonly string[];
}

/** Of the owners that were asked for: those whose files nobody needs. */
export interface UnneededFiles extends FileOwners {
  /** No generation is open at all, so that none can name a file of somebody else. */
  readonly othersToo: boolean;
}

/** Whom somebody with a database is to be asked about. */
export function ownersOf(found: readonly OldFiles[]): FileOwners {
  const namesOf = (owner: OldFiles['owner']) => [
    ...new Set(found.filter((files) => files.owner === owner).map(({ name }) => name)),
  ];
  return { generationIds: namesOf('generation'), inputs: namesOf('input') };
}

/** By the answer of the database; what it does not know belongs to somebody else and stays. */
export function mayGo({ owner, name }: OldFiles, unneeded: UnneededFiles): boolean {
  if (owner === 'others') return unneeded.othersToo;
  return (owner === 'generation' ? unneeded.generationIds : unneeded.inputs).includes(name);
}
