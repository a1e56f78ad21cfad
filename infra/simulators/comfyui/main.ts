import { runSimulator } from '../shared/run-simulator.js';
import { optionHelp } from './option-help.js';
import { simulatorOptionsFrom } from './options.js';
import { startSimulator } from './simulator.js';

/** A program of its own: `npm run simulator -- --port N`. */
if (process.argv.includes('--help')) process.stdout.write(optionHelp());
else
  await runSimulator({
    name: 'comfyui-simulator',
    title: 'ComfyUI simulator',
    self: process,
    start: async (args, logger) => startSimulator(simulatorOptionsFrom(args), logger),
  });
