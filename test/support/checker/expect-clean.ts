import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { checkInvariants } from './check-invariants.js';
import type { CheckedSystem } from './check-invariants.js';

/** Longer than any clean-up may take: a sweep, a visibility delay, a stopPrompt that was waiting for its worker. */
const REST_WITHIN_MS = 45_000;
const LOOK_MS = 250;

/** Cancels what a test has left open, waits until everything has come to rest, and throws with every broken invariant. */
export async function expectClean(system: CheckedSystem & { readonly apiUrl: string }): Promise<void> {
  for (const id of await openGenerations(system.databaseUrl)) {
    await fetch(`${system.apiUrl}/v1/generations/${id}/cancel`, { method: 'POST' });
  }
  const deadline = performance.now() + REST_WITHIN_MS;
  for (;;) {
    const violations = await checkInvariants(system);
    if (violations.length === 0) return;
    if (performance.now() > deadline) throw new Error(`Broken invariants:\n${violations.join('\n')}`);
    await sleep(LOOK_MS);
  }
}

async function openGenerations(databaseUrl: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>('SELECT id FROM generations WHERE finished_at IS NULL');
    return rows.map(({ id }) => id);
  } finally {
    await client.end();
  }
}
