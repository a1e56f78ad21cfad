import { ComfyUIError } from '../../activities/comfyui/errors.js';
import { TemplateError } from '../../api/templates/template-error.js';
import { checkCommand } from './check-command.js';
import { CliError } from './cli-error.js';
import { importCommand } from './import-command.js';
import type { Terminal } from './terminal.js';
import { thumbnailsCommand } from './thumbnails-command.js';

const COMMANDS = { check: checkCommand, import: importCommand, thumbnails: thumbnailsCommand } as const;

/** `templates check | import | thumbnails`. Exit codes: 0 done, 1 something is missing, 2 the command could not be carried out. */
const [name = '', ...args] = process.argv.slice(2);
const terminal: Terminal = {
  env: process.env,
  say: (line) => {
    process.stdout.write(`${line}\n`);
  },
};

main().catch((error: unknown) => {
  const isForPeople = [CliError, TemplateError, ComfyUIError].some((kind) => error instanceof kind);
  process.stderr.write(`${isForPeople && error instanceof Error ? error.message : inFull(error)}\n`);
  process.exitCode = 2;
});

async function main(): Promise<void> {
  const known = Object.keys(COMMANDS);
  if (!Object.hasOwn(COMMANDS, name)) {
    throw new CliError(`"${name}" is no command; there are ${known.join(', ')}`);
  }
  process.exitCode = await COMMANDS[name as keyof typeof COMMANDS](args, terminal);
}

function inFull(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
