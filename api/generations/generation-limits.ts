import type { GenerationLimits } from '../../workflows/contracts/generation.js';

/** What a generation gets that asks for nothing else; from the environment, in seconds. */
export interface LimitDefaults {
  readonly startSeconds: number;
  readonly renderSeconds: number;
  readonly stallSeconds: number;
  readonly backendReturnSeconds: number;
}

/** The limits of one generation: its template may render longer, and the caller's total bounds one rendering, too. */
export function generationLimits(
  defaults: LimitDefaults,
  request: { readonly renderSeconds: number | null; readonly timeoutMinutes: number | null },
): GenerationLimits {
  const renderSeconds = request.renderSeconds ?? defaults.renderSeconds;
  if (request.timeoutMinutes === null) return { ...defaults, renderSeconds, totalSeconds: null };
  const totalSeconds = request.timeoutMinutes * 60;
  return { ...defaults, renderSeconds: Math.min(renderSeconds, totalSeconds), totalSeconds };
}
