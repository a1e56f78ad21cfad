/** What a request asks of the card, and what may be changed of it. */
export interface DrawnRequest {
  readonly widthPx: number;
  readonly heightPx: number;
  readonly batchSize: number;
  readonly isStrict: boolean;
}

const MEGAPIXEL = 1024 * 1024;
const MODEL_GIB = 4;
const SAMPLING_GIB_PER_MEGAPIXEL = 1.5;
const VAE_GIB = 1;
const DECODING_GIB_PER_MEGAPIXEL = 4;
/** R5.2, and `MAX_RETRY_ATTEMPTS` as it is by default. */
const MIN_EDGE_PX = 512;
const EDGE_MULTIPLE_PX = 8;
const MAX_REDUCTIONS = 3;

/** What the simulated card needs for the request as it is, in GiB: whichever is more, sampling or decoding. */
export function neededGib({ widthPx, heightPx, batchSize }: DrawnRequest): number {
  const megapixels = (widthPx * heightPx) / MEGAPIXEL;
  return Math.max(samplingGib(megapixels * batchSize), VAE_GIB + DECODING_GIB_PER_MEGAPIXEL * megapixels);
}

/**
 * Whether anything that R5.2 permits fits on the card; written from the rule and from the simulator's formula, without a line
 * of the service. The smallest form decides: one picture at a time, decoded in tiles (which always fits where sampling does),
 * with edges a fifth smaller three times, unless the request is strict.
 */
export function isRecoverable(request: DrawnRequest, cardGib: number): boolean {
  const times = request.isStrict ? 0 : MAX_REDUCTIONS;
  const megapixels = (smallestEdge(request.widthPx, times) * smallestEdge(request.heightPx, times)) / MEGAPIXEL;
  return samplingGib(megapixels) <= cardGib;
}

function samplingGib(megapixels: number): number {
  return MODEL_GIB + SAMPLING_GIB_PER_MEGAPIXEL * megapixels;
}

function smallestEdge(edgePx: number, times: number): number {
  let edge = edgePx;
  for (let time = 0; time < times && edge > MIN_EDGE_PX; time += 1) {
    const fifthLess = Math.max(MIN_EDGE_PX, edge - edge / 5);
    edge = fifthLess - (fifthLess % EDGE_MULTIPLE_PX);
  }
  return edge;
}
