import { flagLines } from '../shared/flag-lines.js';
import { factsOf, FAULT_KINDS, isFaultKind } from './faults/fault-kinds.js';
import { SCHEDULED_KINDS } from './faults/fault-schedule.js';
import { FLAGS } from './options.js';

/** The text of --help. */
export function optionHelp(): string {
  const kinds = Object.keys(FAULT_KINDS)
    .filter(isFaultKind)
    .map((kind) => `  ${kind.padEnd(14)} ${factsOf(kind).does} (${factsOf(kind).fields.join(', ')})`);
  return [
    'A ComfyUI that draws placeholder pictures, without a GPU.',
    '',
    ...flagLines(FLAGS),
    '',
    'Faults, armed by POST /simulator/faults {"kind": …, fields}; DELETE ends them:',
    ...kinds,
    '',
    `Kinds for --fault-schedule: all but ${Object.keys(FAULT_KINDS)
      .filter((kind) => !SCHEDULED_KINDS.some((each) => each === kind))
      .join(', ')}.`,
    '',
  ].join('\n');
}
