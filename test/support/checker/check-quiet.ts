import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import type { Evidence, Violation } from './check-invariants.js';
import { keysIn, storeClient } from './store-client.js';

/** I5: when everything has ended, nothing is left: no prompt, no Workflow, no open claim, no file in a spool, nothing untold. */
export async function checkQuiet(evidence: Evidence): Promise<readonly Violation[]> {
  const { database, temporal } = evidence;
  const violations: Violation[] = [];
  for (const url of evidence.comfyUrls) {
    const left = await promptsIn(url);
    if (left > 0) violations.push(`I5 ${left} prompts are left in the queue of ${url}`);
  }
  const query = "WorkflowType = 'generateMedia' AND ExecutionStatus = 'Running'";
  const { count } = await temporal.workflow.count(query);
  if (count > 0) violations.push(`I5 ${count} Workflows are still running`);
  for (const folder of evidence.spoolFolders) {
    for (const file of filesIn(folder)) violations.push(`I5 ${file} was left in the spool`);
  }
  const outbox = await database.query<{ count: string }>('SELECT count(*) FROM outbox');
  if (outbox.rows[0]?.count !== '0') violations.push(`I5 ${outbox.rows[0]?.count ?? '?'} rows are left in the outbox`);
  return [...violations, ...(await openClaims(evidence))];
}

/** A claim that stays open would let a late submission through. */
async function openClaims({ storage, generations }: Evidence): Promise<readonly Violation[]> {
  const client = storeClient(storage);
  const known = new Set(generations.map(({ id }) => `claims/${id}.json`));
  const keys = (await keysIn(client, storage.bucket, 'claims/')).filter((key) => known.has(key));
  const found = await Promise.all(
    keys.map(async (key): Promise<Violation | null> => {
      const claim = (await json(await client.getObject(storage.bucket, key))) as { readonly ended: boolean };
      return claim.ended ? null : `I5 ${key} is left open`;
    }),
  );
  return found.filter((violation) => violation !== null);
}

async function promptsIn(url: string): Promise<number> {
  const response = await fetch(`${url}/prompt`).catch(() => null);
  if (response?.headers.get('content-type')?.includes('json') !== true) return 0; // no ComfyUI is there any more
  return ((await response.json()) as { exec_info: { queue_remaining: number } }).exec_info.queue_remaining;
}

function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
