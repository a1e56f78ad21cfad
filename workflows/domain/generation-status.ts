/**
 * QUEUED → PROCESSING → COMPLETED, with RECOVERING between two renderings of the same generation.
 * FAILED, TIMEOUT, CANCELLED and COMPLETED are terminal: they are never left.
 */
export const GENERATION_STATUSES = [
  'QUEUED',
  'PROCESSING',
  'RECOVERING',
  'COMPLETED',
  'FAILED',
  'TIMEOUT',
  'CANCELLED',
] as const;
export type GenerationStatus = (typeof GENERATION_STATUSES)[number];

export const TERMINAL_STATUSES = ['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'] as const;
export type TerminalStatus = (typeof TERMINAL_STATUSES)[number];

/** True for a status that is never left. */
export function isTerminal(status: GenerationStatus): status is TerminalStatus {
  return TERMINAL_STATUSES.some((terminal) => terminal === status);
}
