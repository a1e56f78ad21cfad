import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import { until } from '../../support/until.js';
import type { Backend } from './backend.js';
import type { Lane } from './lane.js';

/** Something that is done to a generation under way: when, in milliseconds since the epoch; `null`: it came too late. */
export type Disturbance = (lane: Lane, generationId: string) => Promise<number | null>;

const RENDERS_WITHIN_MS = 60_000;
/** What a rendering of the bench takes, and a bit more: a moment from here on may be any moment of a generation. */
const ANY_MOMENT_MS = 2_500;
const PNG_END_BYTES = 12;

/** At any moment of the generation; it starts again at once. */
export function killWorker(random: () => number): Disturbance {
  const afterMs = random() * ANY_MOMENT_MS;
  return async (lane, generationId) => {
    await delay(afterMs);
    const backend = lane.backends.find((each) => hasEvent(each, generationId, 'prompt_received'));
    if (backend === undefined || (await lane.service.get(generationId)).status === 'COMPLETED') return null;
    await backend.killWorker();
    const killedAt = Date.now();
    await backend.startWorker(lane.service);
    return killedAt;
  };
}

/** Its process stands still: connections are accepted and nothing is answered. */
export function freezeComfyui(random: () => number, durationMs: number): Disturbance {
  const afterMs = random() * 1_000;
  return async (lane, generationId) => {
    const backend = await renderingOf(lane, generationId);
    await delay(afterMs);
    if (hasEvent(backend, generationId, 'view')) return null;
    const frozenAt = Date.now();
    await backend.freezeFor(durationMs);
    return frozenAt;
  };
}

/** Somebody presses the button in ComfyUI's own page. */
export function interruptPrompt(random: () => number): Disturbance {
  const afterMs = random() * 1_000;
  return async (lane, generationId) => {
    const backend = await renderingOf(lane, generationId);
    await delay(afterMs);
    const at = Date.now();
    await backend.post('/interrupt', {});
    const outcome = await until('the rendering ends', async () => outcomeOf(backend, generationId), RENDERS_WITHIN_MS);
    return outcome === 'interrupted' ? at : null;
  };
}

/** The saved picture, after it was saved and before it is fetched. */
export function damageFile(random: () => number): Disturbance {
  const damages: readonly ((file: Buffer) => Buffer)[] = [
    () => Buffer.alloc(0),
    (file) => file.subarray(0, Math.max(1, Math.floor(file.length * random()))),
    (file) => file.subarray(0, file.length - PNG_END_BYTES),
    (file) => Buffer.concat([file, Buffer.from('trailing bytes')]),
    () => Buffer.from('<html>Sign in</html>'),
  ];
  const damage = damages[Math.floor(random() * damages.length)] ?? ((file) => file);
  return async (lane, generationId) => {
    const backend = await renderingOf(lane, generationId);
    await until('it is rendered', async () => outcomeOf(backend, generationId), RENDERS_WITHIN_MS);
    const [path] = savedPictures(backend, generationId);
    if (path === undefined) return null;
    writeFileSync(path, damage(readFileSync(path)));
    return hasEvent(backend, generationId, 'view') ? null : Date.now();
  };
}

/** Paths of what this ComfyUI has saved for a generation: below `dg/<id>/`, a folder for each submission. */
export function savedPictures({ dataDir }: Backend, generationId: string): readonly string[] {
  const folder = join(dataDir, 'output', 'dg', generationId);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.png'))
    .map((path) => join(folder, path));
}

async function renderingOf({ backends }: Lane, generationId: string): Promise<Backend> {
  return until(
    `${generationId} is rendered`,
    async () => backends.find((backend) => hasEvent(backend, generationId, 'rendering_started')),
    RENDERS_WITHIN_MS,
  );
}

/** Of the first submission; files carry the id of the generation in their folder. */
function hasEvent(backend: Backend, generationId: string, event: string): boolean {
  const promptId = promptIdOf(generationId, 1);
  return backend
    .journal()
    .some(
      (entry) => entry.event === event && (entry.promptId === promptId || JSON.stringify(entry).includes(generationId)),
    );
}

function outcomeOf(backend: Backend, generationId: string): unknown {
  const promptId = promptIdOf(generationId, 1);
  const end = backend.journal().find((entry) => entry.event === 'rendering_finished' && entry.promptId === promptId);
  return end?.['outcome'];
}
