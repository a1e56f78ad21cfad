import { isRecord } from './is-record.js';
import { nodeWithoutClassError, unknownClassError } from './unknown-node-error.js';
import { validateNode } from './validate-node.js';
import type { NodeVerdict, ValidationContext } from './validate-node.js';
import { PythonException, tracebackOf } from './validation-error.js';
import type { NodeErrors, ValidationError } from './validation-error.js';

/** `error === null`: at least one output is fine and the prompt may be queued, though `nodeErrors` can be filled. */
export interface PromptVerdict {
  readonly error: ValidationError | null;
  readonly outputNodeIds: readonly string[];
  readonly nodeErrors: NodeErrors;
}

/** As ComfyUI 0.8.0's validate_prompt: every class must exist, then each output is checked with what is upstream of it. */
export function validatePrompt(
  prompt: Readonly<Record<string, unknown>>,
  targets: readonly unknown[] | null,
  context: Omit<ValidationContext, 'prompt'>,
): PromptVerdict {
  const classError = firstClassError(prompt, context);
  if (classError !== null) return rejected(classError);
  const outputs = Object.keys(prompt).filter((nodeId) => isOutput(prompt[nodeId], context));
  const wanted = targets === null ? outputs : outputs.filter((nodeId) => targets.includes(nodeId));
  if (wanted.length === 0) return rejected(errorOf('prompt_no_outputs', 'Prompt has no outputs', ''));
  return verdictOnOutputs(wanted, { ...context, prompt });
}

function verdictOnOutputs(outputs: readonly string[], context: ValidationContext): PromptVerdict {
  const verdicts = new Map<string, NodeVerdict>();
  const good: string[] = [];
  const details: string[] = [];
  const nodeErrors: Record<string, NodeErrors[string]> = {};
  for (const nodeId of outputs) {
    const verdict = outputVerdict(nodeId, context, verdicts);
    if (verdict.valid) {
      good.push(nodeId);
      continue;
    }
    details.push(...verdict.errors.map((error) => `${error.message}: ${error.details}`));
    blame(nodeId, { context, verdicts, nodeErrors });
  }
  const error =
    good.length > 0
      ? null
      : errorOf('prompt_outputs_failed_validation', 'Prompt outputs failed validation', details.join('\n'));
  return { error, outputNodeIds: good, nodeErrors };
}

function outputVerdict(nodeId: string, context: ValidationContext, verdicts: Map<string, NodeVerdict>): NodeVerdict {
  try {
    return validateNode(nodeId, context, verdicts);
  } catch (error) {
    if (!(error instanceof PythonException)) throw error;
    const verdict: NodeVerdict = {
      valid: false,
      errors: [
        {
          type: 'exception_during_validation',
          message: 'Exception when validating node',
          details: error.message,
          extra_info: { exception_type: error.exceptionType, traceback: tracebackOf('validate_prompt') },
        },
      ],
    };
    verdicts.set(nodeId, verdict);
    return verdict;
  }
}

/** Every node found faulty so far is held against this output; nodes that merely lie downstream carry no errors of their own. */
function blame(
  outputId: string,
  found: {
    readonly context: ValidationContext;
    readonly verdicts: ReadonlyMap<string, NodeVerdict>;
    readonly nodeErrors: Record<string, NodeErrors[string]>;
  },
): void {
  for (const [nodeId, verdict] of found.verdicts) {
    if (verdict.valid || verdict.errors.length === 0) continue;
    const entry = (found.nodeErrors[nodeId] ??= {
      errors: verdict.errors,
      dependent_outputs: [],
      class_type: classTypeOf(found.context.prompt[nodeId]),
    });
    entry.dependent_outputs.push(outputId);
  }
}

function firstClassError(
  prompt: Readonly<Record<string, unknown>>,
  { classes, options }: Omit<ValidationContext, 'prompt'>,
): ValidationError | null {
  for (const [nodeId, node] of Object.entries(prompt)) {
    if (typeof node === 'string' || Array.isArray(node) || (isRecord(node) && !('class_type' in node))) {
      return nodeWithoutClassError(nodeId, node, options.version);
    }
    if (!isRecord(node)) throw new PythonException('TypeError', 'argument is not iterable');
    if (!classes.has(classTypeOf(node))) return unknownClassError(nodeId, node, options.version);
  }
  return null;
}

function isOutput(node: unknown, { classes }: Omit<ValidationContext, 'prompt'>): boolean {
  return classes.get(classTypeOf(node))?.output_node === true;
}

function classTypeOf(node: unknown): string {
  return isRecord(node) ? String(node['class_type']) : '';
}

function errorOf(type: string, message: string, details: string): ValidationError {
  return { type, message, details, extra_info: {} };
}

function rejected(error: ValidationError): PromptVerdict {
  return { error, outputNodeIds: [], nodeErrors: {} };
}
