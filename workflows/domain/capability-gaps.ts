import { isModelFile } from './classify-execution-error.js';
import type { ApiGraph } from './graph.js';
import { mayFit, vramInWords } from './vram.js';
import type { CardMemory } from './vram.js';

/** What a generation needs of a ComfyUI, as far as that can be told from outside. */
export interface Needs {
  readonly nodeClasses: readonly string[];
  /** Texts of the graph that look like model files; some may be none. */
  readonly files: readonly string[];
  readonly vramGb: number | null;
}

export const NOTHING: Needs = { nodeClasses: [], files: [], vramGb: null };

/** What a ComfyUI has; `null`: not known. */
export interface Offer extends CardMemory {
  readonly nodeClasses: ReadonlySet<string> | null;
  readonly modelFiles: ReadonlySet<string> | null;
}

/** One thing that is missing. */
export interface Gap {
  /** The same for the same thing on every backend. */
  readonly key: string;
  /** After "lacks". */
  readonly words: string;
}

export function needsOf(graph: ApiGraph, vramGb: number | null): Needs {
  const nodes = Object.values(graph);
  const files = nodes.flatMap(({ inputs }) => Object.values(inputs).filter(isModelFile));
  return { nodeClasses: [...new Set(nodes.map((node) => node.class_type))], files: [...new Set(files)], vramGb };
}

/** What is known to be missing; what is not known may be there. */
export function gapsOf({ nodeClasses, files, vramGb }: Needs, offer: Offer): readonly Gap[] {
  const classes = nodeClasses.filter((name) => offer.nodeClasses?.has(name) === false);
  const models = files.filter((name) => offer.modelFiles?.has(name) === false);
  const isTooSmall = vramGb !== null && !mayFit(offer, vramGb);
  return [
    ...classes.map((name) => ({ key: `class ${name}`, words: `node class ${name}` })),
    ...models.map((name) => ({ key: `file ${name}`, words: `model ${name}` })),
    ...(isTooSmall
      ? [{ key: 'vram', words: `VRAM: needs about ${vramGb} GB, has ${vramInWords(offer.vramTotalBytes)}` }]
      : []),
  ];
}

/** True when a backend with `others` is missing less, and nothing that one with `own` has. */
export function isBetterOff(others: readonly Gap[], own: readonly Gap[]): boolean {
  const missing = new Set(own.map(({ key }) => key));
  return others.length < own.length && others.every(({ key }) => missing.has(key));
}

export function gapsInWords(gaps: readonly Gap[]): string {
  return gaps.map(({ words }) => words).join(', ');
}
