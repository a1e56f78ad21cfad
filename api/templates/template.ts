import type { ApiGraph } from '../../workflows/domain/graph.js';
import type { TemplateManifest } from './template-manifest.js';

/** A folder of `comfy-workflows/`, checked: its bindings exist in its graph, its example is acceptable. */
export interface Template {
  readonly name: string;
  /** Where its files stand. */
  readonly folder: string;
  readonly manifest: TemplateManifest;
  readonly graph: ApiGraph;
  /** A small picture of what it makes, if there is one. */
  readonly thumbnail: Thumbnail | null;
}

export interface Thumbnail {
  readonly mediaType: 'image/webp' | 'image/png';
  readonly bytes: Buffer;
  readonly sha256: string;
}

export type Templates = ReadonlyMap<string, Template>;
