import { parseArgs } from 'node:util';
import { say } from '../print.js';
import { runSections } from '../run-sections.js';
import { recoverySection } from '../sections/recovery.js';
import { FAULT_KINDS } from './fault-kinds.js';

/** `npm run bench:recovery`, or less of it: `npm run bench:recovery -- --faults 5 --kinds crash,vanish --seed 7`. */
const FLAGS = {
  faults: { type: 'string', default: '100' },
  kinds: { type: 'string', default: FAULT_KINDS.map(({ name }) => name).join(',') },
  seed: { type: 'string', default: '1' },
} as const;

const { values } = parseArgs({ options: FLAGS });
const names = values.kinds.split(',');
const unknown = names.filter((name) => !FAULT_KINDS.some((kind) => kind.name === name));
const [faults, seed] = [Number(values.faults), Number(values.seed)];
if (unknown.length > 0) refuse(`Not a kind: ${unknown.join(', ')}. There are ${FLAGS.kinds.default}.`);
else if (!Number.isInteger(faults) || faults < 1)
  refuse(`--faults is "${values.faults}", but must be a whole number from 1`);
else if (!Number.isInteger(seed)) refuse(`--seed is "${values.seed}", but must be a whole number`);
else
  await runSections([recoverySection({ faults, seed, kinds: FAULT_KINDS.filter(({ name }) => names.includes(name)) })]);

function refuse(why: string): void {
  say(why);
  process.exitCode = 2;
}
