import { customValidationError, isSelfChecked } from './custom-validation.js';
import type { FileStore } from './file-store.js';
import { isRecord } from './is-record.js';
import { inputSpecs } from './object-info.js';
import type { ClassInfo, InputSpec, ObjectInfo } from './object-info.js';
import type { SimulatorOptions } from './options.js';
import { pythonRepr, pythonStr } from './python-text.js';
import { inputConfigOf, validateInput } from './validate-input.js';
import { inputError, PythonException, tracebackOf } from './validation-error.js';
import type { ValidationError } from './validation-error.js';

export interface NodeVerdict {
  readonly valid: boolean;
  readonly errors: readonly ValidationError[];
}

export interface ValidationContext {
  readonly prompt: Readonly<Record<string, unknown>>;
  readonly classes: ObjectInfo;
  readonly files: FileStore;
  readonly options: Pick<SimulatorOptions, 'version'>;
}

type Verdicts = Map<string, NodeVerdict>;

/** A node that is being looked at. Met again it is on a cycle, and 0.8.0 answers 400 with empty node_errors. */
const OPEN: NodeVerdict = { valid: false, errors: [] };

interface CheckedInput {
  readonly name: string;
  readonly required: boolean;
  readonly spec: InputSpec;
}

/** As ComfyUI 0.8.0's validate_inputs: a node and all that is upstream of it; coerced values are written back. */
export function validateNode(nodeId: string, context: ValidationContext, verdicts: Verdicts): NodeVerdict {
  const known = verdicts.get(nodeId);
  if (known === OPEN && context.options.version.namesCycles) return blameCycle(nodeId, context, verdicts);
  if (known !== undefined) return known;
  const { info, inputs, classType } = nodeIn(context, nodeId);
  verdicts.set(nodeId, OPEN);
  const errors: ValidationError[] = [];
  let upstreamIsValid = true;
  for (const input of inputSpecs(info)) {
    const result = checkInput(input, { inputs, classType, context, verdicts });
    if (result === 'upstream') upstreamIsValid = false;
    else if (result !== null) errors.push(result);
  }
  const customError = customValidationError(classType, inputs, context.files);
  if (customError !== null) errors.push(customError);
  errors.unshift(...(verdicts.get(nodeId)?.errors ?? [])); // a cycle that was found further up
  const verdict = { valid: errors.length === 0 && upstreamIsValid, errors };
  verdicts.set(nodeId, verdict);
  return verdict;
}

/** The nodes that are open, from this one on in the order in which they were opened, are the cycle. */
function blameCycle(nodeId: string, { prompt }: ValidationContext, verdicts: Verdicts): NodeVerdict {
  const open = [...verdicts].filter(([, verdict]) => verdict === OPEN).map(([id]) => id);
  const cycle = open.slice(open.indexOf(nodeId));
  const shown = (id: string) => `${id} (${isRecord(prompt[id]) ? String(prompt[id]['class_type']) : ''})`;
  const details = [...cycle, nodeId].map(shown).join(' -> ');
  const verdictOf = (id: string): NodeVerdict => ({
    valid: false,
    errors: [
      {
        ...{ type: 'dependency_cycle', message: 'Dependency cycle detected', details },
        extra_info: { node_id: id, cycle_nodes: cycle },
      },
    ],
  });
  for (const id of cycle) verdicts.set(id, verdictOf(id));
  return verdictOf(nodeId);
}

interface Checking {
  readonly inputs: Record<string, unknown>;
  readonly classType: string;
  readonly context: ValidationContext;
  readonly verdicts: Verdicts;
}

/** `null`: fine; `upstream`: a node further up is at fault and carries the error itself. */
function checkInput(input: CheckedInput, checking: Checking): ValidationError | 'upstream' | null {
  const { name, required, spec } = input;
  if (!(name in checking.inputs)) {
    if (!required || isDynamic(spec)) return null;
    return inputError({ type: 'required_input_missing', message: 'Required input is missing' }, name);
  }
  const value = checking.inputs[name];
  if (Array.isArray(value)) return checkLink(input, value, checking);
  const selfChecked = isSelfChecked(checking.classType, name);
  const result = validateInput({ name, spec, value, selfChecked });
  checking.inputs[name] = result.value;
  return result.error;
}

function checkLink(
  { name, spec }: CheckedInput,
  link: readonly unknown[],
  { context, verdicts }: Checking,
): ValidationError | 'upstream' | null {
  if (link.length !== 2) {
    return inputError(
      { type: 'bad_linked_input', message: 'Bad linked input, must be a length-2 list of [node_id, slot_index]' },
      name,
      { extra: { input_config: inputConfigOf(spec), received_value: link } },
    );
  }
  const sourceId = String(link[0]);
  const receivedType = outputTypeOf(context, link);
  if (!typesMatch(receivedType, spec[0])) {
    return inputError({ type: 'return_type_mismatch', message: 'Return type mismatch between linked nodes' }, name, {
      details: `${name}, received_type(${pythonStr(receivedType)}) mismatch input_type(${pythonStr(spec[0])})`,
      extra: { input_config: inputConfigOf(spec), received_type: receivedType, linked_node: link },
    });
  }
  try {
    return validateNode(sourceId, context, verdicts).valid ? null : 'upstream';
  } catch (error) {
    if (!(error instanceof PythonException)) throw error;
    verdicts.set(sourceId, { valid: false, errors: [innerError({ name, spec, link }, error)] });
    return 'upstream';
  }
}

function innerError(
  at: { readonly name: string; readonly spec: InputSpec; readonly link: readonly unknown[] },
  error: PythonException,
): ValidationError {
  return inputError(
    { type: 'exception_during_inner_validation', message: 'Exception when validating inner node' },
    at.name,
    {
      details: error.message,
      extra: {
        input_config: inputConfigOf(at.spec),
        exception_message: error.message,
        exception_type: error.exceptionType,
        traceback: tracebackOf('validate_inputs'),
        linked_node: at.link,
      },
    },
  );
}

function nodeIn(
  { prompt, classes }: ValidationContext,
  nodeId: string,
): { info: ClassInfo; inputs: Record<string, unknown>; classType: string } {
  const node = prompt[nodeId];
  if (!isRecord(node)) throw new PythonException('KeyError', pythonRepr(nodeId));
  if (!isRecord(node['inputs'])) throw new PythonException('KeyError', "'inputs'");
  const classType = String(node['class_type']);
  const info = classes.get(classType);
  if (info === undefined) throw new PythonException('KeyError', pythonRepr(classType));
  return { info, inputs: node['inputs'], classType };
}

function outputTypeOf({ prompt, classes }: ValidationContext, [sourceId, slot]: readonly unknown[]): unknown {
  const node = prompt[String(sourceId)];
  if (typeof sourceId !== 'string' || !isRecord(node)) throw new PythonException('KeyError', pythonRepr(sourceId));
  const outputs = classes.get(String(node['class_type']))?.output ?? [];
  if (typeof slot !== 'number') {
    throw new PythonException('TypeError', 'tuple indices must be integers or slices, not str');
  }
  const type = outputs.at(slot);
  if (type === undefined) throw new PythonException('IndexError', 'tuple index out of range');
  return type;
}

/** Equal, either a wildcard, or unions such as "INT,FLOAT" with a type in common (ComfyUI 0.8.0, validation.py). */
function typesMatch(received: unknown, wanted: unknown): boolean {
  if (typeof received !== 'string' || typeof wanted !== 'string') {
    return received === 'COMBO' || wanted === 'COMBO' || JSON.stringify(received) === JSON.stringify(wanted);
  }
  if (received === '*' || wanted === '*' || received.startsWith('COMFY_') || wanted.startsWith('COMFY_')) return true;
  const wantedTypes = wanted.split(',').map((type) => type.trim());
  return received.split(',').some((type) => wantedTypes.includes(type.trim()));
}

/** V3 inputs that grow or switch: their real inputs have dotted names which only the class itself knows. */
function isDynamic([type]: InputSpec): boolean {
  return typeof type === 'string' && /^COMFY_(AUTOGROW|DYNAMIC)/.test(type);
}
