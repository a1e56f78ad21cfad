import type { Database } from '../../infra/postgres/database.js';
import { estimateWait } from '../../workflows/domain/queue-estimate.js';
import type { Pace } from '../../workflows/domain/queue-estimate.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import { fleetState, healthySlots } from '../backends/fleet-state.js';
import type { FleetState } from '../backends/fleet-state.js';
import type { QueueView } from '../schemas/generation-view.js';
import { cachedFor } from './cached-for.js';
import { readPlaces, readWaitingGroups } from './read-places.js';
import type { CountedPlace, PooledGroup } from './read-places.js';
import { readRenderTimes, timeKey } from './render-times.js';
import type { RenderTimes } from './render-times.js';

const WAITING_FOR_MS = 1_000;
const TIMES_FOR_MS = 5_000;

/** What can be said of a place before the language of the reader is known. */
export type QueueFacts = Omit<QueueView, 'userMessage'>;

/** Where generations stand and how long they will wait. */
export interface QueueBoard {
  /** Of those that wait. */
  placesOf(ids: readonly string[]): Promise<ReadonlyMap<string, QueueFacts>>;
  /** What will be said of a place that is counted later, where nothing can be waited for. */
  look(pool: string, template: string): Promise<(place: CountedPlace) => QueueFacts>;
  /** Until so many generations have ended; `null`: nobody knows. */
  secondsUntilEnded(count: number): Promise<number | null>;
}

interface Situation {
  readonly groups: readonly PooledGroup[];
  readonly times: RenderTimes;
}

export function createQueueBoard(deps: {
  readonly database: Database;
  readonly directory: BackendDirectory;
}): QueueBoard {
  const { database, directory } = deps;
  const groupsNow = cachedFor(WAITING_FOR_MS, async () => readWaitingGroups(database));
  const knownTemplates = new Set<string>();
  const timesNow = cachedFor(TIMES_FOR_MS, async () => readRenderTimes(database, [...knownTemplates]));
  /** Times of a template that is asked for the first time are read at once. */
  const situation = async (templates: readonly string[]): Promise<Situation> => {
    const groups = await groupsNow.read();
    const wanted = [...templates, ...groups.map(({ template }) => template)];
    const isNew = wanted.some((template) => !knownTemplates.has(template));
    for (const template of wanted) knownTemplates.add(template);
    if (isNew) timesNow.forget();
    return { groups, times: await timesNow.read() };
  };
  const look: QueueBoard['look'] = async (pool, template) => {
    const [known, fleet] = await Promise.all([situation([template]), fleetState(directory, pool)]);
    return (place) => factsOf(place, known, fleet);
  };
  return {
    look,
    async placesOf(ids) {
      if (ids.length === 0) return new Map();
      const places = await readPlaces(database, ids);
      const facts = [...places].map(async ([id, place]) => {
        const describe = await look(place.pool, place.template);
        return [id, describe(place)] as const;
      });
      return new Map(await Promise.all(facts));
    },
    async secondsUntilEnded(count) {
      const [{ times }, slots] = await Promise.all([situation([]), healthySlots(directory)]);
      const seconds = [...times.byTemplate.values()];
      if (seconds.length === 0 || slots === 0) return null;
      return (count * seconds.reduce((sum, each) => sum + each, 0)) / seconds.length / slots;
    },
  };
}

function factsOf(place: CountedPlace, ...[{ groups, times }, fleet]: [Situation, FleetState]): QueueFacts {
  const ofPool = groups.filter(({ pool }) => pool === place.pool);
  const estimate = estimateWait(place, ofPool, paceOf(times, fleet, place.template));
  const { busy, slots, reason } = fleet;
  return {
    position: place.position,
    // Several flows take turns, whatever the order in which they were accepted.
    isApproximate: new Set([place.flow, ...ofPool.map(({ flow }) => flow)]).size > 1,
    ...{ busy, slots },
    startsInSeconds: estimate?.startsInSeconds ?? null,
    endsInSeconds: estimate?.endsInSeconds ?? null,
    ...(reason !== null && { reason }),
  };
}

/** A backend that renders the template in half the usual time counts for two. */
function paceOf(times: RenderTimes, ...[fleet, template]: [FleetState, string]): Pace {
  const usual = times.byTemplate.get(template);
  const slots = fleet.backends.map(({ backendId, maxGpuJobs }) => {
    const own = times.byBackend.get(timeKey(template, backendId));
    return usual === undefined || own === undefined || own === 0 ? maxGpuJobs : maxGpuJobs * (usual / own);
  });
  return {
    slots: slots.reduce((sum, each) => sum + each, 0),
    isBusy: fleet.busy >= fleet.slots,
    secondsByTemplate: times.byTemplate,
  };
}
