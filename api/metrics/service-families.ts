import type { MetricFamily, Sample } from './exposition.js';
import { DURATION_BUCKETS } from './read-history.js';
import type { History } from './read-history.js';
import type { OpenWork } from './read-open-work.js';
import type { Tally } from './settled-tally.js';

/** Templates that this process knows, and raw graphs; whatever else the database has is one series. */
export type TemplateLabel = (template: string) => string;

export function templateLabelOf(names: Iterable<string>): TemplateLabel {
  const known = new Set([...names, 'graph']);
  return (template) => (known.has(template) ? template : 'other');
}

/** From the database, since the first generation: right over restarts, and the same from every API process. */
export function historyFamilies(history: History, templateLabel: TemplateLabel): readonly MetricFamily[] {
  const recoveries = summed(history.recoveries, ([kind = '', strategy = '', success = '']) => ({
    ...{ kind, strategy, success },
  }));
  return [
    {
      name: 'generations_accepted_total',
      type: 'counter',
      help: 'Generations that were accepted.',
      samples: counts(summed(history.accepted, ([template = '']) => ({ template: templateLabel(template) }))),
    },
    {
      name: 'generations_ended_total',
      type: 'counter',
      help: 'Generations that have ended; kind is empty where nothing failed.',
      samples: counts(
        summed(history.ended, ([status = '', kind = '', template = '', provider = '']) => ({
          ...{ status, kind, template: templateLabel(template), provider },
        })),
      ),
    },
    {
      name: 'generation_duration_seconds',
      type: 'histogram',
      help: 'Completed generations: queued until the first rendering, rendering with recoveries, collecting, total.',
      samples: durationSamples(history.durations, templateLabel),
    },
    {
      name: 'recoveries_total',
      type: 'counter',
      help: 'Recoveries of generations that have ended; success: the failure did not come back.',
      samples: counts(recoveries),
    },
    {
      name: 'credits_total',
      type: 'counter',
      help: 'Credits by kind of the entry: grant, hold, capture, release.',
      samples: summed(history.credits, ([kind = '']) => ({ kind })).map(({ labels, sum }) => ({ labels, value: sum })),
    },
  ];
}

/** Usually there is nothing, and that is to be seen. */
const OUTBOX_KINDS = ['start', 'cancel'];

/** As it is now. */
export function openFamilies({ open, waiting, outbox, isStopped, falUsdOfDay }: OpenWork): readonly MetricFamily[] {
  const outboxOf = (wanted: string) => outbox.find(({ kind }) => kind === wanted);
  const byStatus = open.map(({ pool, status, count }) => ({ group: [pool, status], count, sum: 0 }));
  return [
    {
      name: 'generations_open',
      type: 'gauge',
      help: 'Generations that have not ended.',
      samples: counts(summed(byStatus, ([pool = '', status = '']) => ({ pool, status }))),
    },
    {
      name: 'queue_depth',
      type: 'gauge',
      help: 'Generations that no GPU has begun; priority 1 is the first.',
      samples: waiting.map(({ pool, priority, count }) => ({ labels: placeOf(pool, priority), value: count })),
    },
    {
      name: 'queue_oldest_seconds',
      type: 'gauge',
      help: 'How long the oldest of them has been waiting.',
      samples: waiting.map(({ pool, priority, oldestSeconds }) => ({
        labels: placeOf(pool, priority),
        value: oldestSeconds,
      })),
    },
    {
      name: 'outbox_depth',
      type: 'gauge',
      help: 'What Temporal has not been told yet: starts and cancels.',
      samples: OUTBOX_KINDS.map((kind) => ({ labels: { kind }, value: outboxOf(kind)?.count ?? 0 })),
    },
    {
      name: 'outbox_oldest_seconds',
      type: 'gauge',
      help: 'How long the oldest of it has been waiting.',
      samples: OUTBOX_KINDS.map((kind) => ({ labels: { kind }, value: outboxOf(kind)?.oldestSeconds ?? 0 })),
    },
    {
      name: 'emergency_stop',
      type: 'gauge',
      help: '1 while an emergency stop is in force.',
      samples: [{ labels: {}, value: isStopped ? 1 : 0 }],
    },
    {
      name: 'fal_set_aside_usd',
      type: 'gauge',
      help: 'US dollars that were set aside for fal.ai in the last 24 hours.',
      samples: [{ labels: {}, value: falUsdOfDay }],
    },
  ];
}

function placeOf(pool: string, priority: number): Sample['labels'] {
  return { pool, priority: String(priority) };
}

interface Summed {
  readonly labels: Sample['labels'];
  readonly count: number;
  readonly sum: number;
}

/** Groups that get the same labels are one sample. */
function summed(tallies: readonly Tally[], labelsOf: (group: Tally['group']) => Sample['labels']): readonly Summed[] {
  const byLabels = new Map<string, Summed>();
  for (const { group, count, sum } of tallies) {
    const labels = labelsOf(group);
    const key = JSON.stringify(labels);
    const before = byLabels.get(key) ?? { count: 0, sum: 0 };
    byLabels.set(key, { labels, count: before.count + count, sum: before.sum + sum });
  }
  return [...byLabels.values()];
}

function counts(rows: readonly Summed[]): readonly Sample[] {
  return rows.map(({ labels, count }) => ({ labels, value: count }));
}

/** A histogram has in each bucket what is in the ones before it, too. */
function durationSamples(durations: History['durations'], templateLabel: TemplateLabel): readonly Sample[] {
  const rows = summed(durations, ([template = '', phase = '']) => ({ template: templateLabel(template), phase }));
  const inBuckets = summed(durations, ([template = '', phase = '', bucket = '']) => ({
    ...{ template: templateLabel(template), phase, bucket },
  }));
  return rows.flatMap(({ labels, count, sum }) => {
    let below = 0;
    const buckets = [...DURATION_BUCKETS, Number.POSITIVE_INFINITY].map((bound, index): Sample => {
      const inBucket = inBuckets.find(
        (row) =>
          row.labels['bucket'] === String(index) &&
          row.labels['template'] === labels['template'] &&
          row.labels['phase'] === labels['phase'],
      );
      below += inBucket?.count ?? 0;
      const le = Number.isFinite(bound) ? String(bound) : '+Inf';
      return { labels: { ...labels, le }, value: below, suffix: '_bucket' };
    });
    return [...buckets, { labels, value: sum, suffix: '_sum' }, { labels, value: count, suffix: '_count' }];
  });
}
