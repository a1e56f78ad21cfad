import { runSimulator } from '../shared/run-simulator.js';
import { falOptionHelp } from './option-help.js';
import { falOptionsFrom } from './options.js';
import { startFalSimulator } from './simulator.js';

/** A program of its own: `npm run simulator:fal -- --port N`. */
if (process.argv.includes('--help')) process.stdout.write(falOptionHelp());
else
  await runSimulator({
    name: 'fal-simulator',
    title: 'fal.ai simulator',
    self: process,
    start: async (args, logger) => startFalSimulator(falOptionsFrom(args), logger),
  });
