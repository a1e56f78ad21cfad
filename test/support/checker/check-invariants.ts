import type { Client } from '@temporalio/client';
import pg from 'pg';
import type { StorageConfig } from '../../../infra/runtime/storage-config.js';
import { checkEndings } from './check-endings.js';
import { checkEvents } from './check-events.js';
import { checkObjects } from './check-objects.js';
import { checkQuiet } from './check-quiet.js';
import { checkRenderings } from './check-renderings.js';

/** Everything that an end-to-end test has touched, as it is left. Nothing of it is judged by our own code. */
export interface CheckedSystem {
  readonly databaseUrl: string;
  readonly storage: StorageConfig;
  readonly temporal: Client;
  /** Simulators; one that does not answer has no queue to be looked at. */
  readonly comfyUrls: readonly string[];
  readonly spoolFolders: readonly string[];
}

export interface CheckedGeneration {
  readonly id: string;
  readonly status: string;
  readonly submission: number;
  readonly finished_at: Date | null;
}

/** What each part of the checker looks at. */
export interface Evidence extends CheckedSystem {
  readonly database: pg.Client;
  readonly generations: readonly CheckedGeneration[];
}

/** One broken invariant, numbered as the promises are: I1 endings, I2 objects, I4 renderings, I5 quiet, I6 events. */
export type Violation = `${'I1' | 'I2' | 'I4' | 'I5' | 'I6'} ${string}`;

/** Looks at database, store, Temporal, ComfyUI and spool after everything has come to rest; empty when all is well. */
export async function checkInvariants(system: CheckedSystem): Promise<readonly Violation[]> {
  const database = new pg.Client({ connectionString: system.databaseUrl });
  await database.connect();
  try {
    const { rows } = await database.query<CheckedGeneration>(
      'SELECT id, status, submission, finished_at FROM generations ORDER BY created_at',
    );
    const evidence: Evidence = { ...system, database, generations: rows };
    const found = await Promise.all(
      [checkEndings, checkObjects, checkRenderings, checkQuiet, checkEvents].map(async (check) => check(evidence)),
    );
    return found.flat();
  } finally {
    await database.end();
  }
}
