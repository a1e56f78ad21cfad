// Keeps the event history of a Workflow for the replay test:
//   node scripts/record-history.mjs generation/gen_… completed
// Reads Temporal's own settings (TEMPORAL_ADDRESS, …). What replay does not need and tells of one machine goes.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { loadClientConnectConfig } from '@temporalio/envconfig';

const [workflowId, name] = process.argv.slice(2);
if (workflowId === undefined || name === undefined) {
  process.stderr.write('Usage: node scripts/record-history.mjs <workflow id> <name>\n');
  process.exit(2);
}
const { connectionOptions, namespace } = loadClientConnectConfig();
const connection = await Connection.connect(connectionOptions);
const client = new Client({ connection, namespace: namespace ?? 'default' });
const history = await client.workflow.getHandle(workflowId).fetchHistory();
const text = JSON.stringify(
  JSON.parse(historyToJSON(history)),
  (key, value) => {
    if (key === 'stackTrace') return undefined;
    if (key === 'identity') return 'worker';
    return value?.kind === 'TASK_QUEUE_KIND_STICKY' ? { ...value, name: 'sticky' } : value; // named after its process
  },
  1,
);
const path = join(dirname(dirname(fileURLToPath(import.meta.url))), 'test', 'replay', 'histories', `${name}.json`);
writeFileSync(path, `${text}\n`);
await connection.close();
