import { flagLines } from '../shared/flag-lines.js';
import { BAD_FILES, FAL_CALLS, FAL_FAULT_KINDS } from './faults.js';
import type { FalFaultKind } from './faults.js';
import { FLAGS } from './options.js';

const CALLS = FAL_CALLS.join(', ');

/** With the fields of each, all of which may be left out. */
const DOES: Readonly<Record<FalFaultKind, string>> = {
  error_in_completed: 'the runner fails; fal calls it errorType (errorType, count)',
  '422': 'the model refuses its input, for its content unless said otherwise (detailType, field, count)',
  '429': `too many requests, on one call (${CALLS}) or the next (on, retryAfterSeconds, count)`,
  '5xx': 'trouble before the queue (status, on, retryAfterSeconds, count)',
  lost_answer: 'the request is taken, and its answer never arrives (count)',
  hang: 'the request runs until it is cancelled (count)',
  bad_file: `a file is ${BAD_FILES.join(', ')} (file, count)`,
};

/** The text of --help. */
export function falOptionHelp(): string {
  return [
    "fal.ai's queue with models that draw placeholder pictures; it costs nothing.",
    '',
    ...flagLines(FLAGS),
    '',
    'Faults, armed by POST /simulator/faults {"kind": …, fields}; GET lists them, DELETE ends them:',
    ...FAL_FAULT_KINDS.map((kind) => `  ${kind.padEnd(20)} ${DOES[kind]}`),
    '',
    'GET /simulator/journal: what was submitted, started, finished, cancelled and fetched, a JSON object a line.',
    '',
  ].join('\n');
}
