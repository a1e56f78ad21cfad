import { createLogger, logLevelFrom } from '../../runtime/logger.js';
import type { Logger } from '../../runtime/logger.js';
import { OptionError } from './option-error.js';

export interface RunningSimulator {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** The whole life of a simulator's process, from its command line to the signal that ends it; as that of ComfyUI's. */
export async function runSimulator(options: {
  readonly name: string;
  /** For people. */
  readonly title: string;
  readonly self: NodeJS.Process;
  readonly start: (args: readonly string[], logger: Logger) => Promise<RunningSimulator>;
}): Promise<void> {
  const { name, title, self, start } = options;
  const hasParent = self.connected;
  try {
    const logger = createLogger({ name, level: logLevelFrom(self.env) });
    const simulator = await start(self.argv.slice(2), logger);
    logger.info({ url: simulator.url }, 'The simulator is ready'); // with version and commit, as every line
    self.stdout.write(`${title} listening on ${simulator.url}\n`);
    if (self.connected) self.send?.({ kind: 'ready', url: simulator.url });
    const stop = () => {
      // Work may be asleep in the middle of its steps: nothing is waited for but the sockets.
      void simulator.stop().finally(() => self.exit(0));
    };
    for (const signal of ['SIGTERM', 'SIGINT', 'disconnect'] as const) self.once(signal, stop);
    if (hasParent && !self.connected) stop(); // the parent died while this was starting
  } catch (error) {
    self.stderr.write(`${explained(error)}\n`);
    self.exitCode = error instanceof OptionError ? 2 : 1;
    if (self.connected) self.disconnect();
  }
}

function explained(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
    return `The port is already in use (${error.message}). Choose another with --port, or 0 for any free one.`;
  }
  return error instanceof Error ? error.message : String(error);
}
