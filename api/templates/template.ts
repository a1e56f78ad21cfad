import type { ApiGraph } from '../../workflows/domain/graph.js';
import type { TemplateManifest } from './template-manifest.js';

/** A folder of `comfy-workflows/`, checked: its bindings exist in its graph, its example is acceptable. */
export interface Template {
  readonly name: string;
  readonly manifest: TemplateManifest;
  readonly graph: ApiGraph;
}

export type Templates = ReadonlyMap<string, Template>;
