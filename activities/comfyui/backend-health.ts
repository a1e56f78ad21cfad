import type { BackendSnapshot } from './comfyui-backend.js';

/** How a backend is, and in plain words why. */
export interface BackendHealth {
  readonly health: 'healthy' | 'starting' | 'down';
  readonly reason: string;
}

/** The health that a snapshot shows: `starting` has not answered yet, `down` answered before. */
export function backendHealthOf({ found, answers, hasAnsweredBefore }: BackendSnapshot): BackendHealth {
  if (found !== null) return { health: 'healthy', reason: 'answers' };
  const said = answers.map(({ address, said: words }) => `${address}: ${words}`).join(', ');
  return {
    health: hasAnsweredBefore ? 'down' : 'starting',
    reason: said === '' ? 'has not been asked yet' : said,
  };
}
