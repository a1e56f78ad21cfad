import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { inspectImage } from '../../../activities/media/inspect-image.js';
import { buildExpectedOutputs } from '../../support/expected-outputs.js';
import { makeMedia, movingPicture } from '../../support/ffmpeg.js';
import { startOutputSwapper } from '../../support/output-swapper.js';
import { createRandom } from '../../support/random.js';
import { startService } from '../../support/service.js';
import { startSimulator } from '../../support/simulator-process.js';
import { startBenchTestServers } from '../bench-stack.js';
import { rounded, sayTable } from '../print.js';
import { memoryOf, peakMemoryOf } from '../process-memory.js';
import { quantile } from '../quantile.js';
import type { BenchRun, BenchSection, Figures } from '../section.js';

const SIDES_PX = [512, 1_024, 2_048, 4_096];
const LOOKS = 15;
const VIDEO_BYTES = 500 * 1024 ** 2;

/** What looking at a picture costs beside decoding it alone, and what a large video takes of the worker's memory. */
export const media: BenchSection = {
  name: 'media',
  limitMs: 15 * 60_000,
  measure: async (run) => ({ ...(await pictures(run)), ...(await largeVideo(run)) }),
};

async function pictures({ folder }: BenchRun): Promise<Figures> {
  const rows: string[][] = [];
  let ms1024 = Number.NaN;
  for (const side of SIDES_PX) {
    const path = join(folder, `${side}.png`);
    writeFileSync(path, await noisyPicture(side));
    const expected = buildExpectedOutputs({ widthPx: side, heightPx: side, flatImages: 'fail' });
    const bare = await medianMs(async () => sharp(path).raw().toBuffer());
    const ours = await medianMs(async () => inspectImage(path, expected));
    if (side === 1_024) ms1024 = ours;
    rows.push([`${side} × ${side}`, bare.toFixed(0), ours.toFixed(0), (ours / bare).toFixed(2)]);
  }
  sayTable([`one picture, ms, median of ${LOOKS}`, 'decoded', 'inspected', 'ratio'], rows);
  return { inspectMs1024: rounded(ms1024) };
}

/** Half smooth, half noise: as hard to unpack as a photograph. */
async function noisyPicture(side: number): Promise<Buffer> {
  const random = createRandom(side);
  const pixels = Uint8Array.from({ length: side * side * 3 }, (_, index) => ((index / side) % 200) + random() * 40);
  return sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}

async function medianMs(work: () => Promise<unknown>): Promise<number> {
  const durations: number[] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    const startedAt = performance.now();
    await work();
    durations.push(performance.now() - startedAt);
  }
  return quantile(durations, 0.5);
}

async function largeVideo(run: BenchRun): Promise<Figures> {
  const video = largeVideoIn(run.folder);
  const servers = await startBenchTestServers(run);
  const simulator = await startSimulator();
  run.resources.add('simulator', simulator.stop);
  const swapper = await startOutputSwapper(simulator.url, [{ name: 'a large video', body: () => video }]);
  run.resources.add('swapper', swapper.close);
  const service = await startService({ servers, comfyUrls: [swapper.url] });
  run.resources.add('service', service.stop);
  const restMiB = memoryOf(service.workerPid())?.rssMiB ?? Number.NaN;
  const startedAt = performance.now();
  const { id } = await service.submit({ graph: videoGraph() });
  await service.untilStatus(id, 'COMPLETED', run.signal.aborted ? 0 : 10 * 60_000);
  const seconds = (performance.now() - startedAt) / 1_000;
  const grownMiB = (peakMemoryOf(service.workerPid()) ?? Number.NaN) - restMiB;
  const sizeMiB = video.length / 1024 ** 2;
  sayTable(
    ['one video', 'MiB', 'seconds', 'memory of the worker at most, MiB more'],
    [['fetched, decoded, stored', sizeMiB.toFixed(0), seconds.toFixed(0), grownMiB.toFixed(0)]],
  );
  return { videoMiB: rounded(sizeMiB), videoWorkerGrowthMiB: rounded(grownMiB), videoSeconds: rounded(seconds) };
}

/** Noise without loss: some megabytes a picture. Made longer until it is large enough. */
function largeVideoIn(folder: string): Buffer {
  const part = join(folder, 'part.mp4');
  const noise = ['-vf', 'noise=alls=80:allf=t+u', '-c:v', 'libx264', '-preset', 'ultrafast', '-qp', '0'];
  makeMedia(...movingPicture('1280x720', 2), ...noise, '-pix_fmt', 'yuv420p', part);
  const times = Math.ceil(VIDEO_BYTES / readFileSync(part).length);
  const whole = join(folder, 'whole.mp4');
  makeMedia('-stream_loop', String(times), '-i', part, '-c', 'copy', whole);
  return readFileSync(whole);
}

function videoGraph() {
  const node = (classType: string, inputs: Readonly<Record<string, unknown>>) => ({ class_type: classType, inputs });
  return {
    '1': node('EmptyImage', { width: 64, height: 64, batch_size: 2, color: 1 }),
    '2': node('CreateVideo', { images: ['1', 0], fps: 8 }),
    '3': node('SaveVideo', { video: ['2', 0], format: 'auto', codec: 'auto', filename_prefix: 'x' }),
  };
}
