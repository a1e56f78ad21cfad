import { gapsInWords } from './capability-gaps.js';
import type { Gap } from './capability-gaps.js';
import { explainIdleFleet, whyShut } from './explain-idle-fleet.js';
import type { ReportedBackend } from './explain-idle-fleet.js';

/** A backend before one generation. */
export interface JudgedBackend extends ReportedBackend {
  /** What the generation needs and the backend is known not to have. */
  readonly gaps: readonly Gap[];
  /** The generation has failed there for a reason of that backend. */
  readonly isAvoided: boolean;
}

/** Why no backend of a pool can render one generation now, backend by backend; `null` when one can. */
export function explainUnfitFleet(backends: readonly JudgedBackend[], pool: string): string | null {
  const isUnfit = ({ gaps, isAvoided }: JudgedBackend): boolean => gaps.length > 0 || isAvoided;
  if (!backends.some(isUnfit)) return explainIdleFleet(backends, pool);
  if (backends.some((backend) => obstaclesOf(backend).length === 0)) return null;
  const told = backends.map((backend) => `${backend.backendId}: ${obstaclesOf(backend).join(', ')}`);
  return `No backend of the pool "${pool}" can render this now. ${told.join('; ')}.`;
}

function obstaclesOf(backend: JudgedBackend): readonly string[] {
  const { isFresh, reportedAt, health, reason, gaps, isAvoided } = backend;
  const shut = whyShut(backend);
  if (!isFresh) return [`its worker is gone (last heard at ${reportedAt})`];
  return [
    ...(health === 'healthy' ? [] : [`does not answer (${reason})`]),
    ...(shut === null ? [] : [shut]),
    ...(gaps.length === 0 ? [] : [`lacks ${gapsInWords(gaps)}`]),
    ...(isAvoided ? ['it has failed there before'] : []),
  ];
}
