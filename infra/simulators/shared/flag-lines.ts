/** An option of a command line, as --help tells it. */
interface Flag {
  readonly default: string;
  readonly help: string;
}

/** One line for each option, with what it usually is. */
export function flagLines(flags: Readonly<Record<string, Flag>>): readonly string[] {
  return Object.entries(flags).map(([name, { default: usual, help }]) => {
    const told = usual === '' ? help : `${help} [${usual}]`;
    return `  ${`--${name}`.padEnd(20)} ${told}`;
  });
}
