import type { Json } from './prompt-history.js';

/** One entry of `node_errors[id].errors`, and the form of the top-level `error` of a rejected prompt. */
export interface ValidationError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: Json;
}

/** `node_errors` of POST /prompt. */
export type NodeErrors = Readonly<
  Record<string, { errors: readonly ValidationError[]; dependent_outputs: string[]; class_type: string }>
>;

/** A Python exception that validation itself raised, caught one level up (`exception_during_…`). */
export class PythonException extends Error {
  override readonly name = 'PythonException';
  readonly exceptionType: string;

  constructor(exceptionType: string, message: string) {
    super(message);
    this.exceptionType = exceptionType;
  }
}

/** The fields every error about one input carries. */
export function inputError(
  kind: { readonly type: string; readonly message: string },
  inputName: string,
  rest: { readonly details?: string; readonly extra?: Json } = {},
): ValidationError {
  return { ...kind, details: rest.details ?? inputName, extra_info: { input_name: inputName, ...rest.extra } };
}

/** `traceback.format_tb` lines; clients show them, nobody parses them. */
export function tracebackOf(functionName: string): readonly string[] {
  return [`  File "/opt/ComfyUI/execution.py", line 838, in ${functionName}\n    raised by the simulator\n`];
}
