import { z } from 'zod';

/** An emergency stop that an earlier start has left in force. */
export interface StopInForce {
  readonly reason: string;
  /** ISO time. */
  readonly requestedAt: string;
}

const DEADLINE_MS = 3_000;

const stopSchema = z.object({ isStopped: z.literal(true), reason: z.string(), requestedAt: z.string() });

/** Asks the API; `null` when nothing is stopped, and when it does not say: it decides what is printed, no more. */
export async function stopInForceAt(apiUrl: string): Promise<StopInForce | null> {
  try {
    const answer = await fetch(`${apiUrl}/v1/emergency-stop`, { signal: AbortSignal.timeout(DEADLINE_MS) });
    return stopSchema.safeParse(await answer.json()).data ?? null;
  } catch {
    return null;
  }
}
