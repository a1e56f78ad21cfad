export type JsonKind = 'a text' | 'a number' | 'true or false' | 'null' | 'a list' | 'an object';

/** What a JSON value is, in the words that messages use. */
export function kindOfValue(value: unknown): JsonKind {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return 'a text';
    case 'number':
      return 'a number';
    case 'boolean':
      return 'true or false';
    default:
      return 'an object';
  }
}

/** Texts that would be right without their quotes. */
const QUOTED: Readonly<Partial<Record<JsonKind, RegExp>>> = {
  'a number': /^-?\d{1,20}(\.\d{1,20})?$/,
  'true or false': /^(true|false)$/,
};

/** The end of a "must be …" message: says what was given when that is another kind of value, else nothing. */
export function givenInstead(value: unknown, wanted: JsonKind): string {
  const given = kindOfValue(value);
  if (given === wanted) return '';
  const isQuoted = typeof value === 'string' && QUOTED[wanted]?.test(value) === true;
  return `; ${given} was given${isQuoted ? ' (leave out the quotes)' : ''}`;
}
