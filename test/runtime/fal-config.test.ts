import { describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../infra/runtime/env.js';
import { falConfigFrom } from '../../infra/runtime/fal-config.js';

describe('Settings for fal.ai', () => {
  test('the ceilings are numbers of dollars', () => {
    const env = { FAL_MAX_USD_PER_GENERATION: '0.05', FAL_MAX_USD_PER_DAY: '0' };
    expect(falConfigFrom(env).ceilings).toEqual({ usdPerGeneration: 0.05, usdPerDay: 0 });
    expect(() => falConfigFrom({ FAL_MAX_USD_PER_DAY: '-1' })).toThrow(/^FAL_MAX_USD_PER_DAY is "-1", but must be/);
    expect(() => falConfigFrom({ FAL_MAX_USD_PER_DAY: 'ten' })).toThrow(ConfigError);
  });

  test('without any, there is no key, and the queue is the real one', () => {
    expect(falConfigFrom({})).toEqual({
      ...{ key: null, queueUrl: 'https://queue.fal.run' },
      ceilings: { usdPerGeneration: 1, usdPerDay: 10 },
    });
    expect(falConfigFrom({ FAL_KEY: ' ', FAL_QUEUE_URL: '' })).toEqual(falConfigFrom({}));
  });

  test.each([
    ['https://queue.example/', 'https://queue.example'],
    ['https://proxy.example/fal/', 'https://proxy.example/fal'],
    ['http://127.0.0.1:8290', 'http://127.0.0.1:8290'],
    ['http://[::1]:8290', 'http://[::1]:8290'],
  ])('the queue may be at %s', (text, queueUrl) => {
    expect(falConfigFrom({ FAL_KEY: ' id:secret\n', FAL_QUEUE_URL: text })).toMatchObject({
      key: 'id:secret',
      queueUrl,
    });
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
