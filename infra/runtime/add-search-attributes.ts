import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';

/** A client's connection or a worker's: both reach the operator service. */
type OperatorConnection = Pick<Client['connection'], 'operatorService'>;

export interface SearchAttributeDefinition {
  readonly name: string;
  readonly type: string;
}

const { IndexedValueType } = proto.temporal.api.enums.v1;
/** The types that are in use here, as Temporal's API numbers them. */
const API_TYPES: Readonly<Record<string, proto.temporal.api.enums.v1.IndexedValueType>> = {
  KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
  INT: IndexedValueType.INDEXED_VALUE_TYPE_INT,
};

/** Those of the wanted Search Attributes that a namespace does not have. */
export async function missingSearchAttributes<T extends SearchAttributeDefinition>(
  { operatorService }: OperatorConnection,
  namespace: string,
  wanted: readonly T[],
): Promise<readonly T[]> {
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  return wanted.filter(({ name }) => !Object.hasOwn(customAttributes ?? {}, name));
}

/** Registers Search Attributes; a cluster that does not allow it refuses with its own error. */
export async function addSearchAttributes(
  { operatorService }: OperatorConnection,
  namespace: string,
  attributes: readonly SearchAttributeDefinition[],
): Promise<void> {
  const searchAttributes = Object.fromEntries(attributes.map(({ name, type }) => [name, API_TYPES[type] ?? 0]));
  await operatorService.addSearchAttributes({ namespace, searchAttributes });
}
