import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FileStore } from './file-store.js';
import { isLink } from './graph.js';
import type { Graph, GraphNode } from './graph.js';
import type { ObjectInfo } from './object-info.js';

/** Classes whose IS_CHANGED is the hash of the file they load (ComfyUI 0.8.0, nodes.py and comfy_extras; Video Helper Suite). */
const FILE_INPUTS: Readonly<Record<string, string>> = {
  LoadImage: 'image',
  LoadImageMask: 'image',
  LoadLatent: 'latent',
  LoadVideo: 'file',
  VHS_LoadVideo: 'video',
};

/**
 * The cache key of each node: class, literal inputs and the keys of all ancestors; not the node's own id, unless the
 * class asks for it. `null` = never cached (its file cannot be read).
 */
export function nodeKeys(
  graph: Graph,
  sources: { readonly classes: ObjectInfo; readonly files: FileStore },
): ReadonlyMap<string, string | null> {
  const keys = new Map<string, string | null>();
  const keyOf = (nodeId: string): string | null => {
    const known = keys.get(nodeId);
    if (known !== undefined) return known;
    const node = graph[nodeId];
    if (node === undefined) return null;
    keys.set(nodeId, null); // what lies on a cycle is never cached
    const key = computed(nodeId, node, { ...sources, keyOf });
    keys.set(nodeId, key);
    return key;
  };
  for (const nodeId of Object.keys(graph)) keyOf(nodeId);
  return keys;
}

function computed(
  nodeId: string,
  node: GraphNode,
  sources: {
    readonly classes: ObjectInfo;
    readonly files: FileStore;
    readonly keyOf: (nodeId: string) => string | null;
  },
): string | null {
  const fileHash = fileHashOf(node, sources.files);
  if (fileHash === null) return null;
  const parts: unknown[] = [node.class_type, fileHash, wantsOwnId(node, sources.classes) ? nodeId : ''];
  for (const name of Object.keys(node.inputs).sort()) {
    const value = node.inputs[name];
    if (!isLink(value)) {
      parts.push([name, 'value', value]);
      continue;
    }
    const ancestor = sources.keyOf(value[0]);
    if (ancestor === null) return null;
    parts.push([name, 'link', ancestor, value[1]]);
  }
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** Empty for classes that load no file, `null` for a file that is not there. */
function fileHashOf(node: GraphNode, files: FileStore): string | null {
  const input = FILE_INPUTS[node.class_type];
  const name = input === undefined ? undefined : node.inputs[input];
  if (typeof name !== 'string') return '';
  const path = files.annotatedPath(name);
  return path === null ? null : createHash('sha256').update(readFileSync(path)).digest('hex');
}

function wantsOwnId(node: GraphNode, classes: ObjectInfo): boolean {
  return JSON.stringify(classes.get(node.class_type)?.input['hidden'] ?? {}).includes('UNIQUE_ID');
}
