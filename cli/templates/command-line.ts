import { parseArgs } from 'node:util';
import { CliError } from './cli-error.js';

export interface CommandLine {
  /** By name of the option; of one that is given twice, both. */
  readonly options: Readonly<Record<string, readonly string[]>>;
  readonly positionals: readonly string[];
}

/** `--name value` and `--name=value` of the options that there are. Throws `CliError` with the usage at any other. */
export function parseCommandLine(
  args: readonly string[],
  { known, usage }: { readonly known: readonly string[]; readonly usage: string },
): CommandLine {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: Object.fromEntries(known.map((name) => [name, { type: 'string' as const, multiple: true }])),
    });
    return { options: Object.fromEntries(known.map((name) => [name, values[name] ?? []])), positionals };
  } catch (error) {
    throw new CliError(`${error instanceof Error ? error.message : String(error)}\nUsage: ${usage}`, { cause: error });
  }
}

/** The one value of an option; `null` when it is absent. */
export function optionOf({ options }: CommandLine, name: string): string | null {
  const values = options[name] ?? [];
  if (values.length > 1) throw new CliError(`--${name} is given more than once`);
  return values[0] ?? null;
}
