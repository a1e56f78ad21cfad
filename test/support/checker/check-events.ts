import type { Evidence, Violation } from './check-invariants.js';

const TERMINAL = ['completed', 'failed', 'timeout', 'cancelled'];

/** What may follow each event. A progress record may be missing (an outage), so a rendering may follow a rendering. */
const MAY_FOLLOW: Readonly<Record<string, readonly string[]>> = {
  accepted: ['no_fallback', 'processing', 'recovering', 'cancel_requested', ...TERMINAL],
  processing: ['processing', 'recovering', 'cancel_requested', ...TERMINAL],
  recovering: ['no_fallback', 'processing', 'recovering', 'cancel_requested', ...TERMINAL],
  no_fallback: ['no_fallback', 'processing', 'recovering', 'cancel_requested', ...TERMINAL],
  cancel_requested: ['no_fallback', 'processing', 'recovering', ...TERMINAL],
};

interface EventRow {
  readonly generation_id: string;
  readonly sequence: number;
  readonly type: string;
}

/** I6: the events of a generation are gapless, a legal path, and end with the status that its row has. */
export async function checkEvents({ database, generations }: Evidence): Promise<readonly Violation[]> {
  const { rows } = await database.query<EventRow>(
    'SELECT generation_id, sequence, type FROM generation_events ORDER BY generation_id, sequence',
  );
  return generations.flatMap(({ id, status }): Violation[] => {
    const events = rows.filter((row) => row.generation_id === id);
    const types = events.map(({ type }) => type);
    const path = types.join(' → ');
    const isGapless = events.every(({ sequence }, index) => sequence === index + 1);
    const isLegal =
      types[0] === 'accepted' &&
      types.every((type, index) => index === 0 || MAY_FOLLOW[types[index - 1] ?? '']?.includes(type) === true);
    const isTold = !TERMINAL.includes(status.toLowerCase()) || types.at(-1) === status.toLowerCase();
    return [
      ...(isGapless ? [] : [`I6 the events of ${id} have gaps: ${events.map((row) => row.sequence).join()}` as const]),
      ...(isLegal ? [] : [`I6 the events of ${id} are no legal path: ${path}` as const]),
      ...(isTold ? [] : [`I6 ${id} is ${status}, but its events say ${path}` as const]),
    ];
  });
}
