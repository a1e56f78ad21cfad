import { pythonStr, pythonRepr, pythonTypeName } from './python-text.js';

/** What Python's int(), float(), str() and bool() would say (ComfyUI 0.8.0, execution.py, validate_inputs). */
export class CoercionError extends Error {
  override readonly name = 'CoercionError';
}

/** A literal as the node's type wants it; other types stay as they are. */
export function coerceInput(type: unknown, value: unknown): unknown {
  switch (type) {
    case 'INT':
      return toInt(value);
    case 'FLOAT':
      return toFloat(value);
    case 'STRING':
      return pythonStr(value);
    case 'BOOLEAN':
      return isTruthy(value); // the string "false" is true, as in Python
    default:
      return value;
  }
}

function toInt(value: unknown): number {
  if (typeof value === 'number' || typeof value === 'boolean') return Math.trunc(Number(value));
  if (typeof value !== 'string') {
    throw new CoercionError(
      `int() argument must be a string, a bytes-like object or a real number, not '${pythonTypeName(value)}'`,
    );
  }
  if (/^\s*[+-]?\d+(_\d+)*\s*$/.test(value)) return Number(value.replaceAll('_', ''));
  throw new CoercionError(`invalid literal for int() with base 10: ${pythonRepr(value)}`);
}

function toFloat(value: unknown): number {
  if (typeof value === 'number' || typeof value === 'boolean') return Number(value);
  if (typeof value !== 'string') {
    throw new CoercionError(`float() argument must be a string or a real number, not '${pythonTypeName(value)}'`);
  }
  const number = Number(value);
  if (value.trim() !== '' && !Number.isNaN(number)) return number;
  throw new CoercionError(`could not convert string to float: ${pythonRepr(value)}`);
}

function isTruthy(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}
