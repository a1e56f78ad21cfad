import { expect, test } from '@jest/globals';
import { welcome } from '../../infra/embedded/welcome.js';
import type { Env } from '../../infra/runtime/env.js';

function falLinesOf(env: Env): readonly string[] {
  const children = { apiUrl: 'http://127.0.0.1:8328', comfyUIAddress: 'simulated', isSimulated: true, givenUp: [] };
  const lines = welcome({ ...children, env }, 4).split('\n');
  return lines.filter((line) => line.includes('fal.ai'));
}

test('The welcome says with a key that fal.ai is on and how much it may cost, and never the key', () => {
  const env = { FAL_KEY: 'id:secret', FAL_MAX_USD_PER_DAY: '2.5' };
  expect(falLinesOf(env)).toEqual([
    '  fal.ai            on (PROVIDER=comfyui), at most 1 US$ a generation, 2.5 US$ in 24 hours',
  ]);
  const elsewhere = { ...env, PROVIDER: 'fal', FAL_QUEUE_URL: 'http://127.0.0.1:8290' };
  expect(falLinesOf(elsewhere)).toEqual([expect.stringContaining('on at http://127.0.0.1:8290 (PROVIDER=fal), at ')]);
});

test('The welcome says nothing of fal.ai without a key', () => {
  expect(falLinesOf({})).toEqual([]);
});
