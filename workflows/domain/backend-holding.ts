/** Ends of one `tendBackend`: `stopped` and `renew` it says itself, `silent` is a timeout, `failed` everything else. */
export type TendEnd = 'stopped' | 'renew' | 'silent' | 'failed';

/** What follows: the id is free, or the holder is tended again, now or after a pause. */
export type AfterTend = 'free' | 'again' | 'again_later';

/**
 * How often in a row tending may fail before the holder counts as gone. It fails at once when another process polls the
 * queue: one that was paused and has lost the id. That one stops itself within seconds.
 */
export const MAX_FAILED_TENDS = 12;

export function decideAfterTend(end: TendEnd, failuresInARow: number): AfterTend {
  if (end === 'stopped' || end === 'silent') return 'free';
  if (end === 'renew') return 'again';
  return failuresInARow < MAX_FAILED_TENDS ? 'again_later' : 'free';
}

/** True while somebody else has the id whom the caller does not know to be dead. */
export function isHeldByAnother(
  holderId: string | null,
  asked: { readonly holderId: string; readonly replaces: string | null },
): boolean {
  return holderId !== null && holderId !== asked.holderId && holderId !== asked.replaces;
}
