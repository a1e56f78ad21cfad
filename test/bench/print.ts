/** One line to whoever runs the bench. */
export function say(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Columns as wide as their widest cell; the first is text, the others are figures. */
export function sayTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const lineOf = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  say();
  say(lineOf(header));
  say(widths.map((width) => '-'.repeat(width)).join('  '));
  for (const row of rows) say(lineOf(row));
  say();
}

export function rounded(value: number, digits = 0): number {
  return Number(value.toFixed(digits));
}
