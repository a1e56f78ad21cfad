/** One metric with everything that is known of it now. */
export interface MetricFamily {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Of the parts of a histogram. */
  readonly suffix?: '_bucket' | '_sum' | '_count';
}

/** Everything of ours begins so; what Temporal and Node tell of themselves does not. */
const PREFIX = 'durable_comfy_';

/** Prometheus' text format. What is counted elsewhere, in the database or by a worker, is passed on, not counted again. */
export function expositionOf(families: readonly MetricFamily[]): string {
  return families
    .filter(({ samples }) => samples.length > 0)
    .flatMap(({ name, type, help, samples }) => [
      `# HELP ${PREFIX}${name} ${help}`,
      `# TYPE ${PREFIX}${name} ${type}`,
      ...samples.map(
        ({ labels, value, suffix = '' }) => `${PREFIX}${name}${suffix}${labelsInBraces(labels)} ${numberOf(value)}`,
      ),
    ])
    .map((line) => `${line}\n`)
    .join('');
}

function labelsInBraces(labels: Sample['labels']): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function numberOf(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '+Inf' : String(value);
}
