import { searchAttributeKeys } from '../../../workflows/contracts/search-attributes.js';

const TYPE_NAMES = { KEYWORD: 'Keyword', INT: 'Int' } as const;

type TypeName = (typeof TYPE_NAMES)[keyof typeof TYPE_NAMES];

/** What the server must know before the first generation, by name, in the spelling of the command line. */
export const searchAttributeTypes: Readonly<Record<string, TypeName>> = Object.fromEntries(
  Object.values(searchAttributeKeys).map(({ name, type }) => [name, TYPE_NAMES[type]]),
);
