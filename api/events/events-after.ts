import type { Database } from '../../infra/postgres/database.js';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';

export interface DurableEvent {
  readonly sequence: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The status first, then the events: a terminal status is only seen together with its terminal event. */
export async function eventsAfter(
  database: Database,
  generationId: string,
  after: number,
): Promise<{ readonly status: GenerationStatus | null; readonly events: readonly DurableEvent[] }> {
  const generation = await database
    .selectFrom('generations')
    .select('status')
    .where('id', '=', generationId)
    .executeTakeFirst();
  if (generation === undefined) return { status: null, events: [] };
  const rows = await database
    .selectFrom('generation_events')
    .select(['sequence', 'type', 'data', 'created_at'])
    .where('generation_id', '=', generationId)
    .where('sequence', '>', after)
    .orderBy('sequence')
    .execute();
  const events = rows.map(({ sequence, type, data, created_at: at }) => ({
    sequence,
    type,
    data: { ...data, id: generationId, at: at.toISOString() },
  }));
  return { status: generation.status, events };
}
