import type { Client } from '@temporalio/client';
import pg from 'pg';
import type { StorageConfig } from '../../../infra/runtime/storage-config.js';
import { checkCredits } from './check-credits.js';
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
  readonly created_at: Date;
  readonly finished_at: Date | null;
  /** The longest way: to the first claim, and from there to the end. */
  readonly limit_seconds: number;
  /** Renderings that were left to themselves, as the caller is told, too. */
  readonly abandoned: number;
}

/** What each part of the checker looks at. */
export interface Evidence extends CheckedSystem {
  readonly database: pg.Pool;
  readonly generations: readonly CheckedGeneration[];
}

/** One broken invariant, numbered as the promises are: I1 endings, I2 objects, I3 credits, I4 renderings, I5 quiet, I6 events. */
export type Violation = `${'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6'} ${string}`;

/** Looks at database, store, Temporal, ComfyUI and spool after everything has come to rest; empty when all is well. */
export async function checkInvariants(system: CheckedSystem): Promise<readonly Violation[]> {
  const database = new pg.Pool({ connectionString: system.databaseUrl, max: 3 });
  try {
    const { rows } = await database.query<CheckedGeneration>(
      `SELECT id, status, submission, created_at, finished_at,
              (workflow_input->'limits'->>'startSeconds')::float +
                coalesce((workflow_input->'limits'->>'totalSeconds')::float,
                         greatest(1800, 3 * (workflow_input->'limits'->>'renderSeconds')::float)) AS limit_seconds,
              (SELECT count(*)::int FROM recovery_attempts
                WHERE generation_id = generations.id AND strategy = 'take_over') AS abandoned
         FROM generations ORDER BY created_at`,
    );
    const evidence: Evidence = { ...system, database, generations: rows };
    const found = await Promise.all(
      [checkEndings, checkObjects, checkCredits, checkRenderings, checkQuiet, checkEvents].map(async (check) =>
        check(evidence),
      ),
    );
    return found.flat();
  } finally {
    await database.end();
  }
}
