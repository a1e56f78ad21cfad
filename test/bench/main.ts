import { say } from './print.js';
import { runSections } from './run-sections.js';
import type { BenchSection } from './section.js';
import { backlog } from './sections/backlog.js';
import { cancel } from './sections/cancel.js';
import { events } from './sections/events.js';
import { fairness } from './sections/fairness.js';
import { fleet } from './sections/fleet.js';
import { idle } from './sections/idle.js';
import { media } from './sections/media.js';
import { overhead } from './sections/overhead.js';
import { start } from './sections/start.js';
import { swaps } from './sections/swaps.js';

/** `npm run bench`, or some of it by name: `npm run bench -- overhead idle`; `--quick` makes the long ones short. */
const SECTIONS: readonly BenchSection[] = [
  ...[start, overhead, events, idle, cancel, media],
  ...[fleet, swaps, backlog, fairness],
];

const QUICK = '--quick';
const names = process.argv.slice(2).filter((argument) => argument !== QUICK);
const unknown = names.filter((name) => !SECTIONS.some((section) => section.name === name));
if (unknown.length > 0) {
  say(`Not a section: ${unknown.join(', ')}. There are ${SECTIONS.map(({ name }) => name).join(', ')}.`);
  process.exitCode = 2;
} else
  await runSections(
    SECTIONS.filter(({ name }) => names.length === 0 || names.includes(name)),
    process.argv.includes(QUICK),
  );
