import { coerceInput, CoercionError } from './coerce-input.js';
import { isRecord } from './is-record.js';
import type { InputSpec } from './object-info.js';
import { pythonNumber, pythonRepr, pythonStr } from './python-text.js';
import { inputError } from './validation-error.js';
import type { ValidationError } from './validation-error.js';

/** Over this many options the list is not sent back (ComfyUI 0.8.0, execution.py). */
const MAX_LISTED_OPTIONS = 20;

export interface LiteralInput {
  readonly name: string;
  readonly spec: InputSpec;
  readonly value: unknown;
  /** The class checks this input itself (VALIDATE_INPUTS): ranges and lists are then not looked at. */
  readonly selfChecked: boolean;
}

/** A literal coerced to the node's type, or what is wrong with it. */
export function validateInput(input: LiteralInput): {
  readonly value: unknown;
  readonly error: ValidationError | null;
} {
  const [type] = input.spec;
  const raw = isRecord(input.value) && '__value__' in input.value ? input.value['__value__'] : input.value;
  try {
    const value = coerceInput(type, raw);
    return { value, error: input.selfChecked ? null : (rangeError(input, value) ?? listError(input, value)) };
  } catch (error) {
    if (!(error instanceof CoercionError)) throw error;
    return { value: raw, error: conversionError({ ...input, value: raw }, error.message) };
  }
}

/** The spec as errors show it: always with its options object. */
export function inputConfigOf([type, options = {}]: InputSpec): InputSpec {
  return [type, options];
}

function conversionError({ name, spec, value }: LiteralInput, exceptionMessage: string): ValidationError {
  return inputError(
    { type: 'invalid_input_type', message: `Failed to convert an input value to a ${pythonStr(spec[0])} value` },
    name,
    {
      details: `${name}, ${pythonStr(value)}, ${exceptionMessage}`,
      extra: { input_config: inputConfigOf(spec), received_value: value, exception_message: exceptionMessage },
    },
  );
}

function rangeError({ name, spec }: LiteralInput, value: unknown): ValidationError | null {
  const { min, max } = spec[1] ?? {};
  if (typeof value !== 'number') return null;
  const shown = (number: number) => pythonNumber(number, spec[0] === 'FLOAT' ? 'float' : 'int');
  const rest = { extra: { input_config: inputConfigOf(spec), received_value: value } };
  if (typeof min === 'number' && value < min) {
    const message = `Value ${shown(value)} smaller than min of ${shown(min)}`;
    return inputError({ type: 'value_smaller_than_min', message }, name, rest);
  }
  // 2^64−1 and what JavaScript makes of it are the same double; only a client that went through a double sends 2^64.
  if (typeof max === 'number' && (value > max || (max === 2 ** 64 && value >= max))) {
    const received = value === 2 ** 64 ? '18446744073709552000' : shown(value);
    const message = `Value ${received} bigger than max of ${shown(max)}`;
    return inputError({ type: 'value_bigger_than_max', message }, name, rest);
  }
  return null;
}

function listError({ name, spec }: LiteralInput, value: unknown): ValidationError | null {
  const options = optionsOf(spec);
  if (options === null) return null;
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (values.every((each) => options.includes(each))) return null;
  const isLong = options.length > MAX_LISTED_OPTIONS;
  return inputError({ type: 'value_not_in_list', message: 'Value not in list' }, name, {
    details: `${name}: '${pythonStr(value)}' not in ${isLong ? `(list of length ${options.length})` : pythonRepr(options)}`,
    extra: { input_config: isLong ? null : inputConfigOf(spec), received_value: value },
  });
}

/** The options of a COMBO in either style; `null` for every other type. A remote COMBO has none, so 0.8.0 rejects all. */
function optionsOf([type, options = {}]: InputSpec): readonly unknown[] | null {
  if (Array.isArray(type)) return type as readonly unknown[];
  if (type !== 'COMBO') return null;
  const listed: unknown = options['options'];
  return Array.isArray(listed) ? (listed as readonly unknown[]) : [];
}
