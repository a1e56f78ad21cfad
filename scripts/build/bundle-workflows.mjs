import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from './read-sources.mjs';

/** Writes the Workflow bundle when a file below `workflows/` has changed. Workflows import no other sources [BOUND1]. */
export async function bundleWorkflows({ dist, sources, record }) {
  const inputs = [...sources].filter(([path]) => path.startsWith('workflows/'));
  const stamp = sha256(JSON.stringify(inputs));
  const path = join(dist, 'workflow-bundle.js');
  if (record.get().workflows?.stamp === stamp && existsSync(path)) return;
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(dist, 'workflows', 'index.js'),
    logger: new DefaultLogger('WARN'),
  });
  record.change({ workflows: null });
  writeFileSync(path, code);
  record.change({ workflows: { stamp, code: sha256(code) } });
}
