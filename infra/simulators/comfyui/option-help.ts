import { flagLines } from '../shared/flag-lines.js';
import { factsOf, FAULT_KINDS, isFaultKind } from './faults/fault-kinds.js';
import type { FaultKind } from './faults/fault-kinds.js';
import { SCHEDULED_KINDS } from './faults/fault-schedule.js';
import { FLAGS } from './options.js';

/** The text of --help. */
export function optionHelp(): string {
  const kinds = Object.keys(FAULT_KINDS)
    .filter(isFaultKind)
    .map((kind) => `  ${kind.padEnd(14)} ${factsOf(kind).does} (${fieldsOf(kind)})`);
  return [
    'A ComfyUI that draws placeholder pictures, without a GPU.',
    '',
    ...flagLines(FLAGS),
    '',
    'Faults, armed by POST /simulator/faults {"kind": …, fields}; DELETE ends them. A field with * is required:',
    ...kinds,
    '',
    `Kinds for --fault-schedule: all but ${Object.keys(FAULT_KINDS)
      .filter((kind) => !SCHEDULED_KINDS.some((each) => each === kind))
      .join(', ')}.`,
    '',
  ].join('\n');
}

function fieldsOf(kind: FaultKind): string {
  const { fields, required = [] } = factsOf(kind);
  return fields.map((field) => (required.some((each) => each === field) ? `${field}*` : field)).join(', ');
}
