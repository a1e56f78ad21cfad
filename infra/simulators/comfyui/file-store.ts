import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize, resolve, sep } from 'node:path';

export const FILE_TYPES = ['output', 'input', 'temp'] as const;
export type FileType = (typeof FILE_TYPES)[number];

/** Where the next file of a prefix goes. */
export interface SaveTarget {
  readonly folder: string;
  readonly name: string;
  readonly subfolder: string;
  readonly counter: number;
}

/** The prefix leaves the output folder: SaveImage raises a bare Exception with this text (ComfyUI 0.8.0, folder_paths.py). */
export class OutsideFolderError extends Error {
  override readonly name = 'OutsideFolderError';
}

/** The three folders of a server: output/ and input/ survive a restart, temp/ does not. */
export class FileStore {
  readonly #root: string;

  constructor(dataDir: string) {
    this.#root = resolve(dataDir);
    this.wipeTemp();
    for (const type of FILE_TYPES) mkdirSync(this.folder(type), { recursive: true });
  }

  folder(type: FileType): string {
    return join(this.#root, type);
  }

  wipeTemp(): void {
    rmSync(this.folder('temp'), { recursive: true, force: true });
  }

  /** An existing file inside its folder, or `null`; `name` may be in a subfolder. */
  existing(type: FileType, name: string): string | null {
    const path = resolve(this.folder(type), name);
    return isInside(this.folder(type), path) && existsSync(path) && statSync(path).isFile() ? path : null;
  }

  /** `name.png [output]` names its folder; without a suffix it is input/. */
  annotatedPath(name: string): string | null {
    const match = /^(.*) \[(output|input|temp)\]$/.exec(name);
    const type = FILE_TYPES.find((each) => each === match?.[2]) ?? 'input';
    return this.existing(type, match?.[1] ?? name);
  }

  /** Top level only, sorted, as LoadImage lists it. */
  inputNames(): readonly string[] {
    const entries = readdirSync(this.folder('input'), { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isFile() ? [entry.name] : [])).sort();
  }

  /** `get_save_image_path`: the subfolder comes from the prefix, the counter from the files already there. */
  saveTarget(type: FileType, prefix: string, size: { widthPx: number; heightPx: number }): SaveTarget {
    const path = normalize(withVariables(prefix, size));
    const name = basename(path);
    const subfolder = dirname(path) === '.' ? '' : dirname(path);
    const folder = resolve(this.folder(type), subfolder);
    if (!isInside(this.folder(type), folder)) throw new OutsideFolderError(outsideText(this.folder(type), folder));
    mkdirSync(folder, { recursive: true });
    return { folder, name, subfolder, counter: nextCounter(folder, name) };
  }
}

/** Is `path` the folder itself or below it? */
export function isInside(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder + sep);
}

function nextCounter(folder: string, name: string): number {
  const counters = readdirSync(folder).map((file) => {
    if (!file.startsWith(`${name}_`)) return 0;
    return Number(/^\d+/.exec(file.slice(name.length + 1))?.[0] ?? 0);
  });
  return Math.max(0, ...counters) + 1;
}

function withVariables(prefix: string, size: { widthPx: number; heightPx: number }): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  return prefix
    .replaceAll('%width%', String(size.widthPx))
    .replaceAll('%height%', String(size.heightPx))
    .replaceAll('%year%', String(now.getFullYear()))
    .replaceAll('%month%', two(now.getMonth() + 1))
    .replaceAll('%day%', two(now.getDate()))
    .replaceAll('%hour%', two(now.getHours()))
    .replaceAll('%minute%', two(now.getMinutes()))
    .replaceAll('%second%', two(now.getSeconds()));
}

function outsideText(outputDir: string, folder: string): string {
  return [
    '**** ERROR: Saving image outside the output folder is not allowed.',
    ` full_output_folder: ${folder}`,
    `         output_dir: ${outputDir}`,
    `         commonpath: ${commonPath(outputDir, folder)}`,
  ].join('\n');
}

function commonPath(one: string, other: string): string {
  const others = other.split(sep);
  const parts = one.split(sep);
  const length = parts.findIndex((part, index) => part !== others[index]);
  return parts.slice(0, length === -1 ? undefined : length).join(sep) || sep;
}
