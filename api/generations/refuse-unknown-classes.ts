import type { ApiGraph } from '../../workflows/domain/graph.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import { closestNames } from '../../workflows/domain/closest-names.js';
import { ProblemError } from '../problem-error.js';
import { withDeadline } from '../with-deadline.js';

const DEADLINE_MS = 3_000;

/**
 * Compares a caller's graph with what live backends offer, so that a misspelt class is refused now and not in a queue
 * later. While no backend has told its classes, everything is accepted: ComfyUI itself checks at submission.
 */
export async function refuseUnknownClasses(directory: BackendDirectory, graph: ApiGraph): Promise<void> {
  const known = await withDeadline(DEADLINE_MS, directory.nodeClasses('default')).catch(() => null);
  if (known === null) return;
  const places = Object.entries(graph)
    .filter(([, node]) => !known.has(node.class_type))
    .map(([nodeId, node]) => unknownClass(nodeId, node.class_type, known));
  const [first] = places;
  if (first === undefined) return;
  throw new ProblemError('node_class_unknown', `Node ${first.nodeId}: ${first.message}.`, { places });
}

function unknownClass(nodeId: string, nodeClass: string, known: ReadonlySet<string>) {
  const closest = closestNames(nodeClass, known);
  return {
    pointer: `/graph/${nodeId}/class_type`,
    nodeId,
    message: `no ComfyUI has the node class "${nodeClass}"; the ${closest.length} closest are ${closest.join(', ')}`,
    closest,
  };
}
