/** `listening` at the start of each process; the others are about one request, `fault` about what was armed. */
export const FAL_JOURNAL_EVENTS = [
  'listening',
  'submitted',
  'started',
  'finished',
  'cancelled',
  'file_served',
  'fault',
] as const;
export type FalJournalEvent = (typeof FAL_JOURNAL_EVENTS)[number];

export interface FalJournalEntry {
  readonly at: string;
  readonly event: FalJournalEvent;
  readonly requestId?: string;
  readonly [field: string]: unknown;
}
