import { expect, test } from '@jest/globals';
import { API, nodeChildSpec } from '../../infra/embedded/node-child.js';

test('programs of ours keep little memory, unless whoever starts them has set that', () => {
  expect(nodeChildSpec(API, {}).env).toMatchObject({
    NODE_OPTIONS: '--max-old-space-size=1000 --max-semi-space-size=4',
    MALLOC_ARENA_MAX: '2',
  });
  const own = { NODE_OPTIONS: '--max-old-space-size=8000', MALLOC_ARENA_MAX: '8' };
  expect(nodeChildSpec(API, own).env).toMatchObject(own);
});
