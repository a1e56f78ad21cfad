import { createLogger, logLevelFrom } from '../../runtime/logger.js';
import { optionHelp } from './option-help.js';
import { OptionError, simulatorOptionsFrom } from './options.js';
import { startSimulator } from './simulator.js';

/** A program of its own: `npm run simulator -- --port N`. */
const logger = createLogger({ name: 'comfyui-simulator', level: logLevelFrom(process.env) });

try {
  await main();
} catch (error) {
  process.stderr.write(`${explained(error)}\n`);
  process.exitCode = error instanceof OptionError ? 2 : 1;
  if (process.connected) process.disconnect();
}

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(optionHelp());
    return;
  }
  const hasParent = process.connected;
  const options = simulatorOptionsFrom(process.argv.slice(2));
  const simulator = await startSimulator(options, logger);
  logger.info({ url: simulator.url }, 'The simulator is ready'); // with version and commit, as every line
  process.stdout.write(`ComfyUI simulator listening on ${simulator.url}\n`);
  if (process.connected) process.send?.({ kind: 'ready', url: simulator.url });
  const stop = () => {
    // A node may be asleep in the middle of its steps: nothing is waited for but the sockets.
    void simulator.stop().finally(() => process.exit(0));
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(signal, stop);
  if (hasParent && !process.connected) stop(); // the parent died while this was starting
}

function explained(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
    return `The port is already in use (${error.message}). Choose another with --port, or 0 for any free one.`;
  }
  return error instanceof Error ? error.message : String(error);
}
