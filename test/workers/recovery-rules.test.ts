import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ruleFor } from '../../activities/failures/operator-rules.js';
import { ComfyUIUnreachableError, ExecutionFailedError, PromptRejectedError } from '../../activities/comfyui/errors.js';
import { readRecoveryRules } from '../../workers/read-recovery-rules.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'recovery-rules-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function rulesIn(text: string) {
  const path = join(folder, 'rules.yaml');
  writeFileSync(path, text);
  return readRecoveryRules(path);
}

const rule = (...lines: readonly string[]) =>
  ['rules:', '  - name: mine', ...lines.map((line) => `    ${line}`)].join('\n');

function failed(exceptionMessage: string) {
  const facts = { nodeId: '3', nodeType: 'MyNode', exceptionType: 'RuntimeError', lastTracebackLine: '' };
  return new ExecutionFailedError({ ...facts, exceptionMessage });
}

describe('R5.1 Rules of the operators', () => {
  test('YAML with comments, and JSON; no path, no rules', async () => {
    const yaml = '# ours\nrules:\n  - name: tiles\n    pattern: not enough tiles\n    kind: CUDA_OOM\n';
    const expected = [
      {
        pattern: /not enough tiles/i,
        rule: { name: 'tiles', kind: 'CUDA_OOM', adjust: [], maxRetries: 1, isFollowedByBuiltIn: true },
      },
    ];
    expect(await rulesIn(yaml)).toEqual(expected);
    expect(await rulesIn('{"rules": [{"name": "tiles", "pattern": "not enough tiles", "kind": "CUDA_OOM"}]}')).toEqual(
      expected,
    );
    expect(await readRecoveryRules('')).toEqual([]);
  });

  test.each([
    [
      rule('pattern: (a+)+$', 'kind: TIMEOUT'),
      'line 3: rule mine: the pattern could hang: it may take exponential time',
    ],
    [rule('kind: TIMEOUT', 'pattern: (a|a)*$'), 'line 4: rule mine: the pattern could hang'],
    [
      rule('kind: TIMEOUT', 'pattern: a*a*a*b'),
      'line 4: rule mine: the pattern could hang: it may take 4th degree polynomial time',
    ],
    [
      rule('kind: TIMEOUT', 'pattern: "(unclosed"'),
      'line 4: rule mine: the pattern does not parse: Invalid regular expression',
    ],
    [rule('pattern: x', 'kind: OOM'), 'line 4: rule mine: kind must be one of CUDA_OOM, '],
    [rule('pattern: x', 'kind: TIMEOUT', 'strategy: pray'), 'line 5: rule mine: strategy must be one of retry, '],
    [rule('pattern: x', 'kind: TIMEOUT', 'maxRetries: 11'), 'line 5: rule mine: maxRetries must be at most 10'],
    [rule('pattern: x', 'kind: TIMEOUT', 'maxRetries: two'), 'maxRetries must be a number; a text was given'],
    [rule('pattern: x'), 'rule mine: kind must be one of'],
    [rule('pattern: x', 'kind: TIMEOUT', 'colour: red'), 'rule mine: "colour" is not known here'],
    ['rules: [{pattern: x, kind: TIMEOUT}]', 'rule number 1: name is required and must be a text'],
    ['', 'line 1: the file is empty; a file of rules begins with "rules:"'],
    ['# nothing yet', 'the file is empty; a file of rules begins with "rules:"'],
    ['rule: []', 'a file of rules begins with "rules:"'],
    [
      rule(
        'pattern: x',
        'kind: CUDA_OOM',
        'strategy: retry',
        'adjust: [{parameter: steps, operation: multiply, factor: 0.5}]',
      ),
      'line 6: rule mine: adjust goes with the strategy reduce_params only',
    ],
    [
      rule(
        'pattern: x',
        'kind: CUDA_OOM',
        'strategy: reduce_params',
        'adjust: [{parameter: batch_size, operation: set, factor: 1}]',
      ),
      'line 6: rule mine: adjust, number 1, parameter batch_size loses pictures',
    ],
    [
      `${rule('pattern: x', 'kind: TIMEOUT')}\n  - name: mine\n    pattern: y\n    kind: TIMEOUT`,
      'line 5: there is another rule named mine',
    ],
    ['rules: [', 'line 1: '],
    ['rules:\n  - name: "a\n', 'line '],
    ['[]', 'line 1: a file of rules begins with "rules:"'],
    ['a: &a [1]\nrules: *a\n', ''],
  ])('%j is refused: %s', async (text, problem) => {
    await expect(rulesIn(text)).rejects.toThrow(problem);
  });

  test('a file that is not there is named', async () => {
    await expect(readRecoveryRules(join(folder, 'absent.yaml'))).rejects.toThrow(
      /RECOVERY_CONFIG is ".*absent.yaml", which cannot be read/,
    );
  });

  test('the first rule that matches counts, whatever the letter case, for nodes and for refused graphs', async () => {
    const rules = await rulesIn(
      'rules:\n  - {name: first, pattern: not enough tiles, kind: CUDA_OOM}\n  - {name: second, pattern: tiles, kind: TIMEOUT}\n',
    );
    expect(ruleFor(rules, failed('NOT ENOUGH TILES in row 3'))).toMatchObject({ name: 'first' });
    expect(ruleFor(rules, new PromptRejectedError({ type: 'x', message: 'bad tiles', details: '' }, []))).toMatchObject(
      {
        name: 'second',
      },
    );
    expect(ruleFor(rules, failed('no room'))).toBeNull();
    expect(ruleFor(rules, new Error('tiles'))).toBeNull();
    const all = await rulesIn('rules: [{name: all, pattern: x?, kind: TIMEOUT}]');
    expect(ruleFor(all, failed('no room'))).toMatchObject({ name: 'all' });
    expect(ruleFor(all, new ComfyUIUnreachableError('127.0.0.1:1', 'refused', { cause: null }))).toBeNull();
  });
});
