import { describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../infra/runtime/env.js';
import { falConfigFrom } from '../../infra/runtime/fal-config.js';

describe('Settings for fal.ai', () => {
  test('without any, there is no key, and the queue is the real one', () => {
    expect(falConfigFrom({})).toEqual({ key: null, queueUrl: 'https://queue.fal.run' });
    expect(falConfigFrom({ FAL_KEY: ' ', FAL_QUEUE_URL: '' })).toEqual(falConfigFrom({}));
  });

  test.each([
    ['https://queue.example/', 'https://queue.example'],
    ['https://proxy.example/fal/', 'https://proxy.example/fal'],
    ['http://127.0.0.1:8290', 'http://127.0.0.1:8290'],
    ['http://[::1]:8290', 'http://[::1]:8290'],
  ])('the queue may be at %s', (text, queueUrl) => {
    expect(falConfigFrom({ FAL_KEY: ' id:secret\n', FAL_QUEUE_URL: text })).toEqual({ key: 'id:secret', queueUrl });
  });

  test.each([
    'queue.fal.run',
    'ftp://queue.fal.run',
    'http://queue.fal.run', // the key in the clear
    'http://127.0.0.1.example.com',
    'https://user:secret@queue.fal.run',
    'https://queue.fal.run?token=secret',
  ])('the queue may not be at %s, and the error names the variable but not the value', (text) => {
    const read = () => falConfigFrom({ FAL_QUEUE_URL: text });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/^FAL_QUEUE_URL must be an https address/);
    expect(read).not.toThrow(/secret/);
  });

  test('a key that cannot be one is refused without being repeated', () => {
    expect(() => falConfigFrom({ FAL_KEY: 'two words' })).toThrow(/^FAL_KEY has characters/);
    expect(() => falConfigFrom({ FAL_KEY: 'two words' })).not.toThrow(/two words/);
  });
});
