import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import { until } from '../../support/until.js';
import { savedPictures } from './disturbances.js';
import { SMALL } from './fault-kinds.js';
import type { FaultCase } from './fault-kinds.js';
import { judge } from './judge.js';
import type { EndedGeneration, FetchedPicture, Verdict } from './judge.js';
import type { Lane } from './lane.js';

/** What became of one fault. */
export interface CaseResult extends Verdict {
  /** `false`: the generation was over before anything went wrong, so it says nothing. */
  readonly isInjected: boolean;
  /** From the fault to the recorded end, in seconds. */
  readonly seconds: number;
  readonly abandonedRenderings: number;
  /** `null`: the bench itself has failed at this case. */
  readonly generation: ListedGeneration | null;
}

interface ListedGeneration extends EndedGeneration {
  readonly createdAt: string;
  readonly outputs: readonly { readonly url: string; readonly sha256: string }[];
}

/** A generation that has not ended by then is lost. */
const ENDED_WITHIN_MS = 240_000;

/** What the bench cannot judge is wrong until somebody has looked at it. */
export async function runCase(lane: Lane, faultCase: FaultCase, seed: number): Promise<CaseResult> {
  try {
    return await run(lane, faultCase, seed);
  } catch (error) {
    return {
      ...{ outcome: 'wrong', reason: `the bench failed: ${String(error)}`, extraRenderings: 0, generation: null },
      ...{ isInjected: true, seconds: Number.NaN, abandonedRenderings: 0 },
    };
  }
}

/** How long the same request takes when nothing goes wrong, from acceptance to its recorded end, in seconds. */
export async function runUndisturbed(lane: Lane, seed: number): Promise<number> {
  await lane.prepare(null);
  const { id } = await lane.service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a heron', seed, ...SMALL },
  });
  const { status, createdAt, finishedAt } = await untilEnded(lane, id);
  if (status !== 'COMPLETED') throw new Error(`${id} was left alone, and is ${status}`);
  return (Date.parse(finishedAt ?? '') - Date.parse(createdAt)) / 1_000;
}

/** Lets one fault happen to one generation, and judges what comes of it. */
async function run(lane: Lane, faultCase: FaultCase, seed: number): Promise<CaseResult> {
  const { service, backends } = lane;
  await lane.prepare(faultCase.cardGib);
  const marks = backends.map((backend) => backend.journal().length);
  for (const fault of faultCase.everywhere) await lane.arm(fault);
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a heron', seed, ...faultCase.parameters },
    ...(faultCase.recovery !== undefined && { recovery: faultCase.recovery }),
  });
  for (const fault of faultCase.atFirstPrompt) await lane.arm({ ...fault, promptId: promptIdOf(id, 1) });
  const [generation, disturbedAt] = await Promise.all([
    untilEnded(lane, id),
    faultCase.disturb === null ? null : faultCase.disturb(lane, id),
  ]);
  const isLeftAlone = !faultCase.isQuarantined || (await lane.restartQuarantined());
  const journals = backends.map((backend, index) => backend.journal().slice(marks[index]));
  const verdict = judge(faultCase, {
    ...{ generation, journals, ruinedPictures: faultCase.ruinsPictures },
    pictures: await Promise.all(generation.outputs.map(async (output) => fetched(service.apiUrl, output))),
    savedPictures: backends.flatMap((backend) => savedPictures(backend, id)).length,
  });
  const faultAt = faultCase.disturb === null ? firstFaultIn(journals.flat()) : disturbedAt;
  return {
    ...(isLeftAlone ? verdict : { ...verdict, outcome: 'wrong', reason: 'the backend was not put into quarantine' }),
    isInjected: faultAt !== null,
    seconds: (Date.parse(generation.finishedAt ?? '') - (faultAt ?? 0)) / 1_000,
    abandonedRenderings: generation.abandonedRenderings,
    generation,
  };
}

async function untilEnded({ service }: Lane, id: string): Promise<ListedGeneration> {
  const read = async () => (await (await fetch(`${service.apiUrl}/v1/generations/${id}`)).json()) as ListedGeneration;
  try {
    return await until(
      `${id} ends`,
      async () => {
        const seen = await read();
        return seen.finishedAt === null ? null : seen;
      },
      ENDED_WITHIN_MS,
    );
  } catch {
    const left = await read();
    await service.post(`/v1/generations/${id}/cancel`);
    return left;
  }
}

async function fetched(
  apiUrl: string,
  output: { readonly url: string; readonly sha256: string },
): Promise<FetchedPicture> {
  const bytes = Buffer.from(await (await fetch(`${apiUrl}${output.url}`)).arrayBuffer());
  const isSame = createHash('sha256').update(bytes).digest('hex') === output.sha256;
  const decoded = await sharp(bytes, { failOn: 'warning' })
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch(() => null);
  return {
    isWhole: isSame && decoded !== null,
    pixelSha256: createHash('sha256')
      .update(decoded?.data ?? '')
      .digest('hex'),
    widthPx: decoded?.info.width ?? 0,
    heightPx: decoded?.info.height ?? 0,
  };
}

/** Held submissions are no fault: they give the bench its time. */
function firstFaultIn(
  journal: readonly { readonly event: string; readonly at: string; readonly [field: string]: unknown }[],
): number | null {
  const faults = journal
    .filter(({ event }) => event === 'fault')
    .filter((entry) => entry['kind'] !== 'slow_rest' || entry['path'] !== '/api/prompt')
    .map(({ at }) => Date.parse(at));
  return faults.length === 0 ? null : Math.min(...faults);
}
