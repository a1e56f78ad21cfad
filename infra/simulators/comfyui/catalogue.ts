import { folderOf, loadCatalogue, withoutModel } from './object-info.js';
import type { ClassInfo, ModelNames, ObjectInfo } from './object-info.js';

export interface ModelFile {
  readonly folder: string;
  readonly filename: string;
}

/** What the server can run and which model files it has, which can become fewer while it runs. */
export class Catalogue {
  readonly #complete: { readonly classes: ObjectInfo; readonly models: ModelNames };
  readonly #classes: Map<string, ClassInfo>;
  #removed: readonly ModelFile[] = [];

  /** `without`: names of model files and of classes that this server never had. */
  constructor(kind: 'full' | 'recorded', without: readonly string[] = []) {
    this.#complete = lacking(loadCatalogue(kind), without);
    this.#classes = new Map(this.#complete.classes);
  }

  /** Always as it is now. */
  get classes(): ObjectInfo {
    return this.#classes;
  }

  modelsIn(folder: string): readonly string[] {
    return (this.#complete.models[folder] ?? []).filter((filename) => !this.isRemoved({ folder, filename }));
  }

  isRemoved(file: ModelFile): boolean {
    return this.#removed.some(({ folder, filename }) => folder === file.folder && filename === file.filename);
  }

  remove(file: ModelFile): void {
    this.#removed = [...this.#removed, file];
    for (const [name, info] of this.#classes) this.#classes.set(name, withoutModel(name, info, file));
  }

  restore(): void {
    this.#removed = [];
    for (const [name, info] of this.#complete.classes) this.#classes.set(name, info);
  }
}

function lacking(
  { classes, models }: { readonly classes: ObjectInfo; readonly models: ModelNames },
  without: readonly string[],
): { readonly classes: ObjectInfo; readonly models: ModelNames } {
  const files = Object.entries(models).flatMap(([folder, names]) =>
    names.filter((name) => without.includes(name)).map((filename) => ({ folder, filename })),
  );
  const left = [...classes].filter(([name]) => !without.includes(name));
  return {
    classes: new Map(
      left.map(([name, info]) => [name, files.reduce((rest, file) => withoutModel(name, rest, file), info)]),
    ),
    models: Object.fromEntries(
      Object.entries(models).map(([folder, names]) => [folder, names.filter((name) => !without.includes(name))]),
    ),
  };
}

/** The model files that a node of this class is given by name. */
export function modelFilesOf(className: string, inputs: Readonly<Record<string, unknown>>): readonly ModelFile[] {
  return Object.entries(inputs).flatMap(([name, filename]) => {
    const folder = folderOf(className, name);
    return folder === '' || typeof filename !== 'string' ? [] : [{ folder, filename }];
  });
}
