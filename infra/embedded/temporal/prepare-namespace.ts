import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { searchAttributeKeys } from '../../../workflows/contracts/search-attributes.js';
import { addSearchAttributes, missingSearchAttributes } from '../../runtime/add-search-attributes.js';

/** How long a closed Workflow can be looked at: the dev server's default is one day, too short for a weekend. */
const RETENTION = '168 hours';
const CONNECT_TIMEOUT_MS = 2_000;

/** Brings a namespace of our own server, new or from an older database file, to what this version needs. */
export async function prepareNamespace(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: CONNECT_TIMEOUT_MS });
  try {
    await connection.workflowService.updateNamespace({
      namespace,
      config: { workflowExecutionRetentionTtl: msToTs(RETENTION) },
    });
    const missing = await missingSearchAttributes(connection, namespace, Object.values(searchAttributeKeys));
    if (missing.length > 0) await addSearchAttributes(connection, namespace, missing);
  } finally {
    await connection.close();
  }
}
