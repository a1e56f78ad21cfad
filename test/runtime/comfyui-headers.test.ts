import { expect, test } from '@jest/globals';
import { comfyUITargetsFrom } from '../../infra/runtime/comfyui-config.js';

const URLS = 'http://a:8188,http://b:8188';
const headersIn = (COMFYUI_HEADERS: string, COMFYUI_URL = URLS) =>
  comfyUITargetsFrom({ COMFYUI_URL, COMFYUI_HEADERS }).map(({ headers }) => headers);

test.each([
  ['', [undefined, undefined]],
  [
    'Authorization: Bearer a:b\nX-Key: 1',
    [
      { authorization: 'Bearer a:b', 'x-key': '1' },
      { authorization: 'Bearer a:b', 'x-key': '1' },
    ],
  ],
  ['{"X-Key": "1"}', [{ 'x-key': '1' }, { 'x-key': '1' }]],
  ['[{"X-Key": "1"}, {}]', [{ 'x-key': '1' }, {}]],
])('COMFYUI_HEADERS %j', (text, expected) => {
  expect(headersIn(text)).toEqual(expected);
});

test('headers go to a ComfyUI that is looked for, too', () => {
  expect(headersIn('X-Key: 1', '')).toEqual([{ 'x-key': '1' }]);
});

test.each([
  'secret',
  '{"X-Key": secret}',
  '{"X Key": "secret"}',
  '{"X-Key": "sec\\nret"}',
  '["secret", "secret"]',
  '[{"X-Key": "secret"}]',
])('%j is refused, and not repeated: it is a secret', (text) => {
  expect(() => headersIn(text)).toThrow(/COMFYUI_HEADERS/);
  expect(() => headersIn(text)).not.toThrow(/secret/);
});
