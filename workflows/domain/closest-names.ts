const MAX_NAMES = 5;

/** The names that look most like the given one, best first (Dice's coefficient over pairs of letters). */
export function closestNames(name: string, candidates: Iterable<string>): readonly string[] {
  const wanted = pairsOf(name);
  return [...candidates]
    .map((candidate) => ({ candidate, likeness: likeness(wanted, pairsOf(candidate)) }))
    .sort((a, b) => b.likeness - a.likeness || a.candidate.localeCompare(b.candidate))
    .slice(0, MAX_NAMES)
    .map(({ candidate }) => candidate);
}

function pairsOf(name: string): readonly string[] {
  const text = ` ${name.slice(0, 100).toLowerCase()} `;
  return Array.from({ length: text.length - 1 }, (_, index) => text.slice(index, index + 2));
}

function likeness(a: readonly string[], b: readonly string[]): number {
  const rest = [...b];
  const shared = a.filter((pair) => {
    const index = rest.indexOf(pair);
    if (index >= 0) rest.splice(index, 1);
    return index >= 0;
  });
  return (2 * shared.length) / (a.length + b.length);
}
