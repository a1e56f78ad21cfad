/** The limits of a generation that depend on where it renders, in seconds. */
export interface RenderingLimits {
  readonly renderSeconds: number;
  readonly stallSeconds: number;
  readonly totalSeconds: number;
}

/** R3.5: a 512×512 picture of 10 steps took 534 s on a CPU; a GPU needs a few. */
const CPU_FACTOR = 10;
const MIN_TOTAL_SECONDS = 30 * 60;

/** What a generation may take on this device; a total that the caller set is the caller's word and is not stretched. */
export function limitsOn(
  device: 'gpu' | 'cpu',
  limits: { readonly renderSeconds: number; readonly stallSeconds: number; readonly totalSeconds: number | null },
): RenderingLimits {
  const factor = device === 'cpu' ? CPU_FACTOR : 1;
  const renderSeconds = limits.renderSeconds * factor;
  return {
    renderSeconds,
    stallSeconds: limits.stallSeconds * factor,
    totalSeconds: limits.totalSeconds ?? Math.max(MIN_TOTAL_SECONDS, 3 * renderSeconds),
  };
}
