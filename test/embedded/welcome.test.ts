import { expect, test } from '@jest/globals';
import { welcome } from '../../infra/embedded/welcome.js';
import type { Env } from '../../infra/runtime/env.js';

const said = (env: Env): string => {
  const children = { env, apiUrl: 'http://127.0.0.1:8328', comfyUIAddress: 'simulated', isSimulated: true };
  return welcome(children, { seconds: 1, stop: null });
};

test('what must be exported for the temporal command stands there where it is not what the command uses by itself', () => {
  expect(said({ TEMPORAL_ADDRESS: '127.0.0.1:7234' })).toContain('  export TEMPORAL_ADDRESS=127.0.0.1:7234\n');
  expect(said({ TEMPORAL_ADDRESS: '127.0.0.1:7234', TEMPORAL_NAMESPACE: 'art' })).toContain(
    '  export TEMPORAL_ADDRESS=127.0.0.1:7234 TEMPORAL_NAMESPACE=art\n',
  );
  expect(said({ TEMPORAL_ADDRESS: '127.0.0.1:7233', TEMPORAL_NAMESPACE: 'default' })).not.toContain('export');
  expect(said({ TEMPORAL_PROFILE: 'prod' })).not.toContain('export');
});

test('without an emergency stop it asks for a picture', () => {
  expect(said({})).toContain('durable-comfy is ready in 1.0 s');
  expect(said({})).toContain('/v1/generations');
  expect(said({})).not.toMatch(/stop/i);
});

function falLinesOf(env: Env): readonly string[] {
  return said(env)
    .split('\n')
    .filter((line) => line.includes('fal.ai'));
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
