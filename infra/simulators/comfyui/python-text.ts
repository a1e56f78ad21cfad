/** Texts as Python prints them: clients match on them, so `True` must not become `true`. */

/** `repr(value)` of a JSON value. */
export function pythonRepr(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([key, each]) => `${quoted(key)}: ${pythonRepr(each)}`);
    return `{${fields.join(', ')}}`;
  }
  return pythonStr(value);
}

/** `str(value)` of a JSON value. */
export function pythonStr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return pythonNumber(value, 'int');
  return pythonRepr(value);
}

/** JSON has one number type, Python two: a whole FLOAT prints as `8.0`. */
export function pythonNumber(value: number, type: 'int' | 'float'): string {
  if (type === 'float' && Number.isInteger(value)) return `${value}.0`;
  // 2^64 is what a double makes of the largest seed a node allows.
  return value === 2 ** 64 ? '18446744073709551615' : String(value);
}

/** The type name Python would give a JSON value in an error text. */
export function pythonTypeName(value: unknown): string {
  if (value === null || value === undefined) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'object') return 'dict';
  return (
    { string: 'str', boolean: 'bool', number: Number.isInteger(value) ? 'int' : 'float' }[String(typeof value)] ??
    'object'
  );
}

function quoted(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return escaped.includes("'") && !escaped.includes('"') ? `"${escaped}"` : `'${escaped.replaceAll("'", "\\'")}'`;
}
