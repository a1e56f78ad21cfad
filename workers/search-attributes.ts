import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { searchAttributeKeys } from '../workflows/contracts/search-attributes.js';
import { ConfigError } from '../infra/runtime/env.js';
import type { Logger } from '../infra/runtime/logger.js';

const { INDEXED_VALUE_TYPE_INT, INDEXED_VALUE_TYPE_KEYWORD } = proto.temporal.api.enums.v1.IndexedValueType;

/** Registers what is missing, or says how to: a Workflow that sets an unknown Search Attribute hangs for ever. */
export async function ensureSearchAttributes(client: Client, logger: Logger): Promise<void> {
  const { namespace } = client.options;
  const { operatorService } = client.connection;
  if (operatorService === undefined) return;
  const wanted = Object.values(searchAttributeKeys);
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  const missing = wanted.filter(({ name }) => customAttributes?.[name] === undefined);
  if (missing.length === 0) return;
  const types = missing.map(
    ({ name, type }) => [name, type === 'INT' ? INDEXED_VALUE_TYPE_INT : INDEXED_VALUE_TYPE_KEYWORD] as const,
  );
  try {
    await operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(types) });
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
