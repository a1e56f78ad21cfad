import type { Client } from '@temporalio/client';
import { searchAttributeKeys } from '../workflows/contracts/search-attributes.js';
import { addSearchAttributes, missingSearchAttributes } from '../infra/runtime/add-search-attributes.js';
import { ConfigError } from '../infra/runtime/env.js';
import type { Logger } from '../infra/runtime/logger.js';

/** Registers what is missing, or says how to: a Workflow that sets an unknown Search Attribute hangs for ever. */
export async function ensureSearchAttributes(client: Client, logger: Logger): Promise<void> {
  const { namespace } = client.options;
  const missing = await missingSearchAttributes(client.connection, namespace, Object.values(searchAttributeKeys));
  if (missing.length === 0) return;
  try {
    await addSearchAttributes(client.connection, namespace, missing);
    logger.info({ namespace, added: missing.map(({ name }) => name) }, 'Registered Search Attributes');
  } catch (error) {
    const list = missing
      .map(({ name, type }) => `--name ${name} --type ${type === 'INT' ? 'Int' : 'Keyword'}`)
      .join(' ');
    throw new ConfigError(
      `The namespace ${namespace} lacks Search Attributes and does not let us add them. Either run ` +
        `"temporal operator search-attribute create ${list}", or set SEARCH_ATTRIBUTES=off`,
      { cause: error },
    );
  }
}
