import { expect, test } from '@jest/globals';
import { welcome } from '../../infra/embedded/welcome.js';

const said = (env: Record<string, string>): string => {
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
