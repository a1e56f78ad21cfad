import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseJson } from '../../activities/comfyui/parse-json.js';

describe('JSON as Python writes it', () => {
  test('bare NaN and Infinity become null', () => {
    expect(parseJson('{"a": NaN, "b": [Infinity, -Infinity, 1], "c": {"d":NaN}}')).toEqual({
      a: null,
      b: [null, null, 1],
      c: { d: null },
    });
  });

  test('the same words inside strings and names stay', () => {
    const text = String.raw`{"NaN": "NaN, Infinity and -Infinity", "quote\"NaN": "\\", "x": NaN, "NaN2": "a\\\"NaN"}`;
    expect(parseJson(text)).toEqual({
      NaN: 'NaN, Infinity and -Infinity',
      'quote"NaN': '\\',
      x: null,
      NaN2: 'a\\"NaN',
    });
  });

  test('ordinary JSON is parsed as ever', () => {
    expect(parseJson('{"a":[1,2,{"b":"NaN"}]}')).toEqual({ a: [1, 2, { b: 'NaN' }] });
  });

  test.each(['', '<html>', '{"a": NaN', '{"a": nan}', 'NaNa', '{"a": undefined}'])('%j is still no JSON', (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  test('whatever Python dumps is read with null for what JSON cannot say', () => {
    const leaf = fc.oneof(
      fc.constantFrom(NaN, Infinity, -Infinity, null, true, 1.5, -7),
      fc.string(),
      fc.constantFrom('NaN', '"NaN', '\\"NaN\\', 'a Infinity"', '-Infinity'),
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(fc.oneof(fc.string(), fc.constant('NaN')), tie('tree'), { maxKeys: 4, noNullPrototype: true }),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        // JSON.stringify writes null for the three numbers, which is just what is expected.
        expect(parseJson(pythonDumps(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 500 },
    );
  });
});

function pythonDumps(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return `[${value.map(pythonDumps).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${pythonDumps(each)}`);
    return `{${entries.join(', ')}}`;
  }
  return JSON.stringify(value);
}
