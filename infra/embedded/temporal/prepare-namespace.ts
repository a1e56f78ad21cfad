import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { searchAttributeTypes } from './search-attribute-types.js';

/** IndexedValueType of Temporal's API. */
const INDEXED_VALUE_TYPES = { Keyword: 2, Int: 3 } as const;

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
    await addMissingSearchAttributes(connection, namespace);
  } finally {
    await connection.close();
  }
}

async function addMissingSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = Object.entries(searchAttributeTypes).filter(([name]) => !Object.hasOwn(customAttributes ?? {}, name));
  if (missing.length === 0) return;
  await connection.operatorService.addSearchAttributes({
    namespace,
    searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, INDEXED_VALUE_TYPES[type]])),
  });
}
