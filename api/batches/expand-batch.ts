import { isJsonObject } from '../json-object.js';
import type { JsonObject } from '../json-object.js';
import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import type { BatchRequest } from '../schemas/batch-request.js';
import { pointerOf } from '../schemas/problem-places.js';

/** One generation of a batch, as it would be asked for alone. */
export interface BatchItem {
  readonly body: JsonObject;
  /** Where in the batch a place of that body comes from. */
  readonly pointerOf: (inner: string) => string;
}

const SEED = 'seed';

/** Throws `invalid_request` when it is not one list or one sweep, or makes too many. */
export function expandBatch(request: BatchRequest, maxBatch: number): readonly BatchItem[] {
  const places = misfits(request);
  const count = places.length > 0 ? 0 : countOf(request);
  if (count > maxBatch) {
    const pointer = request.generations === undefined ? '/sweep' : '/generations';
    places.push({ pointer, message: `makes ${count} generations; a batch may have ${maxBatch}` });
  }
  const [first] = places;
  if (first !== undefined) throw new ProblemError('invalid_request', `${first.pointer} ${first.message}.`, { places });
  const { account, priority } = request;
  const shared = { ...(priority !== undefined && { priority }), ...(account !== undefined && { account }) };
  const own = request.generations?.map((body, index) => listed(body, index)) ?? sweptItems(request);
  return own.map(({ body, ...item }) => ({ ...item, body: { ...shared, ...body } }));
}

function misfits({ generations, generation, sweep, seeds, ...rest }: BatchRequest): ProblemPlace[] {
  if ((generations === undefined) === (generation === undefined)) {
    return [{ pointer: '', message: 'needs either `generations` or `generation`' }];
  }
  const bodies = generations ?? [generation ?? {}];
  const places = bodies.flatMap((body, index): ProblemPlace[] => {
    if (!Object.hasOwn(body, 'account')) return [];
    const at = generations === undefined ? ['generation'] : ['generations', index];
    return [
      {
        pointer: pointerOf([...at, 'account']),
        message: 'stands beside the generations: one account pays for a batch',
      },
    ];
  });
  if (generation === undefined) {
    if (sweep !== undefined) places.push({ pointer: '/sweep', message: 'goes with `generation`' });
    if (seeds !== undefined) places.push({ pointer: '/seeds', message: 'goes with `generation`' });
    return places;
  }
  if (sweep === undefined && seeds === undefined) places.push({ pointer: '', message: 'needs `sweep` or `seeds`' });
  if (!Object.hasOwn(generation, 'template')) {
    places.push({
      pointer: '/generation',
      message: 'needs a template, whose parameters are swept; list graphs in `generations`',
    });
  }
  if (seeds !== undefined && sweep !== undefined && Object.hasOwn(sweep, SEED)) {
    places.push({ pointer: '/sweep/seed', message: 'is given by `seeds` already' });
  }
  const { parameters } = generation;
  const twice = isJsonObject(parameters)
    ? Object.keys(parameters).filter((name) => isSwept(name, { sweep, seeds, ...rest }))
    : [];
  return [
    ...places,
    ...twice.map((name) => ({ pointer: pointerOf(['generation', 'parameters', name]), message: 'is swept, too' })),
  ];
}

function isSwept(name: string, { sweep, seeds }: BatchRequest): boolean {
  return (sweep !== undefined && Object.hasOwn(sweep, name)) || (seeds !== undefined && name === SEED);
}

function countOf({ generations, sweep = {}, seeds }: BatchRequest): number {
  if (generations !== undefined) return generations.length;
  return Object.values(sweep).reduce((product, values) => product * values.length, seeds?.count ?? 1);
}

function listed(body: JsonObject, index: number): BatchItem {
  return { body, pointerOf: (inner) => `/generations/${index}${inner}` };
}

/** Every combination; the last list changes first, and seeds before all of them. */
function sweptItems(request: BatchRequest): readonly BatchItem[] {
  const { generation = {}, sweep = {}, seeds } = request;
  const axes: Axis[] = Object.entries(sweep).map(([name, values]) => ({
    name,
    values: values.map((value, index) => ({ value, pointer: pointerOf(['sweep', name, index]) })),
  }));
  if (seeds !== undefined) axes.push({ name: SEED, values: seedValues(seeds) });
  const given = isJsonObject(generation['parameters']) ? generation['parameters'] : {};
  return Array.from({ length: countOf(request) }, (_, number) => {
    const chosen = combination(axes, number);
    const values = Object.fromEntries([...chosen].map(([name, { value }]) => [name, value]));
    return {
      body: { ...generation, parameters: { ...given, ...values } },
      pointerOf: (inner) =>
        chosen.get(/^\/parameters\/([^/]+)$/.exec(inner)?.[1] ?? '')?.pointer ?? `/generation${inner}`,
    };
  });
}

function seedValues({ from, count }: NonNullable<BatchRequest['seeds']>): Axis['values'] {
  return Array.from({ length: count }, (_, index) => ({ value: from + index, pointer: '/seeds' }));
}

interface Axis {
  readonly name: string;
  readonly values: readonly { readonly value: unknown; readonly pointer: string }[];
}

/** The number in a system whose digits are the axes. */
function combination(axes: readonly Axis[], number: number): ReadonlyMap<string, Axis['values'][number]> {
  const chosen = new Map<string, Axis['values'][number]>();
  let rest = number;
  for (const { name, values } of [...axes].reverse()) {
    const value = values[rest % values.length];
    if (value !== undefined) chosen.set(name, value);
    rest = Math.floor(rest / values.length);
  }
  return chosen;
}
