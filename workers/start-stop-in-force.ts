import { stopInForce } from '../activities/database/intake.js';
import { EMERGENCY_STOP, emergencyStopOptions } from '../workflows/contracts/emergency-stop.js';
import type { emergencyStop } from '../workflows/emergency-stop.js';
import type { ReconcileDeps } from './reconcile-generation.js';

/** A stop that began while Temporal was away, or whose Workflow was ended, is carried out by a Workflow all the same. */
export async function startStopInForce({
  database,
  client,
}: Pick<ReconcileDeps, 'database' | 'client'>): Promise<void> {
  const stop = await stopInForce(database).executeTakeFirst();
  if (stop === undefined) return;
  await client.workflow.start<typeof emergencyStop>(EMERGENCY_STOP, emergencyStopOptions(stop.reason));
}
