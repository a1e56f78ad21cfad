import type { GraphReader } from '../../activities/storage/graph-reader.js';
import type { Database } from '../../infra/postgres/database.js';
import { needsOf } from '../../workflows/domain/capability-gaps.js';
import type { Needs } from '../../workflows/domain/capability-gaps.js';
import { estimateWait } from '../../workflows/domain/queue-estimate.js';
import type { Pace } from '../../workflows/domain/queue-estimate.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import { fleetState, healthySlots } from '../backends/fleet-state.js';
import type { FleetState } from '../backends/fleet-state.js';
import { knownNeedsOf } from '../backends/known-needs.js';
import type { QueueView } from '../schemas/generation-view.js';
import { withDeadline } from '../with-deadline.js';
import { cachedFor } from './cached-for.js';
import { readPlaces, readWaitingGroups } from './read-places.js';
import type { CountedPlace, PooledGroup, WaitingPlace } from './read-places.js';
import { readRenderTimes, timeKey } from './render-times.js';
import type { RenderTimes } from './render-times.js';

const WAITING_FOR_MS = 1_000;
const TIMES_FOR_MS = 5_000;
/** Reading a generation must not wait long for a store that is slow. */
const GRAPH_MS = 1_000;

/** What can be said of a place before the language of the reader is known. */
export type QueueFacts = Omit<QueueView, 'userMessage'>;

export type DescribePlace = (place: CountedPlace) => QueueFacts;

/** Where generations stand and how long they will wait. */
export interface QueueBoard {
  /** Of those that wait for a ComfyUI. */
  placesOf(ids: readonly string[]): Promise<ReadonlyMap<string, QueueFacts>>;
  /** What will be said of a place that is counted later, where nothing can be waited for. */
  look(waiting: Waiting): Promise<DescribePlace>;
  /** Until so many generations have ended; `null`: nobody knows. */
  secondsUntilEnded(count: number): Promise<number | null>;
}

/** What a generation waits for. */
export interface Waiting {
  readonly pool: string;
  readonly template: string;
  readonly needs: Needs;
}

export interface QueueBoardDeps {
  readonly database: Database;
  readonly directory: BackendDirectory;
  readonly readKeptGraph: GraphReader;
}

interface Situation {
  readonly groups: readonly PooledGroup[];
  readonly times: RenderTimes;
}

export function createQueueBoard(deps: QueueBoardDeps): QueueBoard {
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
  const describing = async (
    { pool, template, needs }: Waiting,
    rendering: ReadonlyMap<string, number>,
  ): Promise<DescribePlace> => {
    const [known, fleet] = await Promise.all([
      situation([template]),
      fleetState(directory, { pool, needs, rendering }),
    ]);
    return (place) => factsOf(place, known, fleet);
  };
  /** Begins what `describing` reads, beside the places that are to be described; it joins in, and is told what fails. */
  const beginLooking = (): void => {
    for (const reading of [groupsNow.read(), directory.backends()]) reading.catch(() => undefined);
  };
  return {
    async look(waiting) {
      return describing(waiting, await renderingOn(database));
    },
    async placesOf(ids) {
      if (ids.length === 0) return new Map();
      beginLooking();
      const [places, rendering] = await Promise.all([readPlaces(database, ids), renderingOn(database)]);
      const alike = new Map<string, Promise<DescribePlace>>(); // a page of a batch asks once for all of its places
      const facts = [...places].map(async ([id, place]) => {
        const { pool, template } = place;
        const needs = places.size === 1 ? await needsWithGraph(deps, place) : knownNeedsOf(place.input);
        const key = JSON.stringify({ pool, template, needs });
        const describe = alike.get(key) ?? describing({ pool, template, needs }, rendering);
        alike.set(key, describe);
        return [id, (await describe)(place)] as const;
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

/** Of one generation the graph is looked at, too: a list would read a hundred. */
async function needsWithGraph({ readKeptGraph }: QueueBoardDeps, { input }: WaitingPlace): Promise<Needs> {
  try {
    return needsOf(await withDeadline(GRAPH_MS, readKeptGraph(input.graph)), input.vramGb ?? null);
  } catch {
    return knownNeedsOf(input); // decides what is said; the store's own error is shown by /readyz
  }
}

/** How many generations each backend renders. */
async function renderingOn(database: Database): Promise<ReadonlyMap<string, number>> {
  const rows = await database
    .selectFrom('generations')
    .select(['backend_id', (eb) => eb.fn.countAll<string>().as('count')])
    .where('finished_at', 'is', null)
    .where('status', '=', 'PROCESSING')
    .groupBy('backend_id')
    .execute();
  return new Map(rows.map(({ backend_id: backendId, count }) => [backendId ?? '', Number(count)]));
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
