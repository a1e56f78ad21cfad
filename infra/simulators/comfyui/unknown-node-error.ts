import { isRecord } from './is-record.js';
import type { ServerVersion } from './server-versions.js';
import { PythonException } from './validation-error.js';
import type { ValidationError } from './validation-error.js';

/** What is said about a node without a class. */
export function nodeWithoutClassError(nodeId: string, node: unknown, version: ServerVersion): ValidationError {
  if (version.unknownNodeError === 'invalid_prompt') {
    return invalidPrompt(nodeId, 'Cannot execute because a node is missing the class_type property.');
  }
  const title = titleOf(node);
  const message = `Node '${title ?? `ID #${nodeId}`}' has no class_type. The workflow may be corrupted or a custom node is missing.`;
  return missingNodeType(message, { node_id: nodeId, class_type: null, node_title: title ?? null });
}

/** What is said about a node whose class is not installed. The newer text names its title, which every drawn graph has. */
export function unknownClassError(nodeId: string, node: unknown, version: ServerVersion): ValidationError {
  const classType = isRecord(node) ? String(node['class_type']) : '';
  if (version.unknownNodeError === 'invalid_prompt') {
    return invalidPrompt(nodeId, `Cannot execute because node ${classType} does not exist.`);
  }
  const title = titleOf(node) ?? classType;
  return missingNodeType(`Node '${title}' not found. The custom node may not be installed.`, {
    node_id: nodeId,
    class_type: classType,
    node_title: title,
  });
}

function invalidPrompt(nodeId: string, message: string): ValidationError {
  return { type: 'invalid_prompt', message, details: `Node ID '#${nodeId}'`, extra_info: {} };
}

function missingNodeType(
  message: string,
  facts: { readonly node_id: string; readonly class_type: string | null; readonly node_title: string | null },
): ValidationError {
  return { type: 'missing_node_type', message, details: `Node ID '#${facts.node_id}'`, extra_info: facts };
}

/** @NOTE a node that is no object raises here, and the answer is 500. */
function titleOf(node: unknown): string | undefined {
  if (!isRecord(node)) throw new PythonException('AttributeError', "object has no attribute 'get'");
  const meta = node['_meta'];
  return isRecord(meta) && typeof meta['title'] === 'string' ? meta['title'] : undefined;
}
