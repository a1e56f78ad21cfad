import { z } from 'zod';
import { fleetDemandKey } from '../../workflows/contracts/fleet-demand.js';
import type { FleetDemand } from '../../workflows/contracts/fleet-demand.js';
import type { ObjectStore } from './object-store.js';

const demandSchema: z.ZodType<FleetDemand> = z.object({
  computedAtMs: z.number(),
  queues: z.array(
    z.object({
      taskQueue: z.string(),
      models: z.array(z.string()),
      waiting: z.number(),
      topPriority: z.number(),
      oldestAcceptedAtMs: z.number(),
      leastServed: z.number(),
      isOffered: z.boolean(),
      polledBy: z.array(z.string()),
    }),
  ),
});

/** What waits in a pool, `null` where no control worker has said so in a form that this version understands. */
export async function readFleetDemand(store: Pick<ObjectStore, 'readJson'>, pool: string): Promise<FleetDemand | null> {
  return demandSchema.safeParse((await store.readJson(fleetDemandKey(pool)))?.value).data ?? null;
}

export async function writeFleetDemand(
  store: Pick<ObjectStore, 'writeJson'>,
  ...[pool, demand]: [string, FleetDemand]
): Promise<void> {
  await store.writeJson(fleetDemandKey(pool), demand, { kind: 'always' });
}
