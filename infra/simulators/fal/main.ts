import { runSimulator } from '../shared/run-simulator.js';
import { falOptionsFrom } from './options.js';
import { startFalSimulator } from './simulator.js';

/** A program of its own: `node dist/bin/infra/simulators/fal/main.js --port N`. */
await runSimulator({
  name: 'fal-simulator',
  title: 'fal.ai simulator',
  self: process,
  start: async (args, logger) => startFalSimulator(falOptionsFrom(args), logger),
});
