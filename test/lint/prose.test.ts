import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { projectRoot } from '../../infra/runtime/project-root.js';

type Kind = 'text' | 'heading' | 'cell';

interface Prose {
  readonly problemsOf: (text: string, kind?: Kind) => readonly { readonly rule: string }[];
  readonly proseBlocksOf: (path: string, text: string) => readonly object[];
  readonly changedLinesSince: (
    commit: string,
    root: string,
  ) => ReadonlyMap<string, (first: number, last: number) => boolean> | null;
}

const modules = ['prose-rules', 'prose-blocks', 'changed-lines'].map(
  (name) => import(join(projectRoot, 'scripts', 'prose', `${name}.mjs`)) as Promise<object>,
);
const { problemsOf, proseBlocksOf, changedLinesSince } = Object.assign({}, ...(await Promise.all(modules))) as Prose;
const rulesOf = (text: string, kind?: Kind) => problemsOf(text, kind).map(({ rule }) => rule);

describe('prose: refused', () => {
  test.each([
    ['opening', 'Of what a recovery has made smaller nothing is known.'],
    ['opening', 'By which it is queued; none of what was accepted before there were queues for models.'],
    ['opening', 'Who reads places in the queue is answered with what was read a second ago.'],
    ['opening', 'What keeps a generation waiting in vain is what went wrong before, and what nobody offers now.'],
    ['opening', 'Of the operators, before the built-in ones.'],
    ['opening', 'What the reads before the stop found'],
    ['opening', 'The name is checked. Which path is taken is decided later.'],
    ['opening', 'That a prompt is lost is seen by the sweep.'],
    ['opening', 'what was built already'],
    ['"somebody"', 'The prompt that we interrupt ourselves looks as if somebody else had.'],
    ['"whomever"', 'Prompts that waited behind a prompt of whomever are no suspects.'],
    ['"anew"', 'The list is read anew.'],
    ['"for ever"', 'The lock is kept for ever.'],
    ['"beside"', 'The worker runs beside the API.'],
    ['"another one"', 'The worker asks another one.'],
    ['"who"', 'A worker who stops ends its polls.'],
    ['26 words', `The worker ${'really '.repeat(23)}stops.`],
  ])('%s: %s', (rule, text) => {
    expect(rulesOf(text)).toContain(rule);
  });
});

describe('prose: allowed', () => {
  test.each([
    'VRAM estimate. Valid only for the unmodified graph.',
    'Models that select the Task Queue. Empty for generations accepted before model queues existed.',
    'Queue positions and backend state are cached for one second and refreshed in the background (stale-while-revalidate).',
    'Combines the original failure with the reason why no backend can take the generation.',
    'Operator rules. Evaluated before the built-in rules.',
    "`awaitCompletion` cannot tell our own interrupt from a third party's.",
    'Prompts that were only queued during the crash are not blamed for it.',
    'Capacity check failed',
    'docs: correct three numbers in performance.md',
    'What happens when a worker dies?',
    'The page answers "Who pays for a lost rendering?" in one table.',
    'The user who started it, and operators who watch it, see the reason.',
    'That server is stopped first. Of course it may be restarted.',
    'The worker decides what follows, which prompts are lost, and besides that nothing.',
    'The API quotes `whoever` and `anew` as code.',
    `The worker ${'really '.repeat(22)}stops.`,
  ])('%s', (text) => {
    expect(rulesOf(text)).toEqual([]);
  });

  test('headings may open with a question word, and table cells may be long', () => {
    expect(rulesOf('What happens when a worker dies', 'heading')).toEqual([]);
    expect(rulesOf('word '.repeat(40), 'cell')).toEqual([]);
    expect(rulesOf('What a worker reads', 'cell')).toEqual(['opening']);
  });

  test('an exception needs a reason', () => {
    expect(rulesOf('The list is read anew. prose-ok: quotes the log of a server')).toEqual([]);
    expect(rulesOf('The list is read anew. prose-ok')).toEqual(['prose-ok']);
  });
});

test('prose of a source is its comments: adjacent lines are one block, and code is none', () => {
  const source = `// The gate reads
// anew.
const text = 'what nobody says // beside';
/**
 * First paragraph.
 *
 * - An item
 *   that goes on.
 */
export const other = 1; // what is last
// eslint-disable-next-line no-console
`;
  expect(proseBlocksOf('a.ts', source)).toEqual([
    { text: 'The gate reads anew.', kind: 'text', first: 1, last: 2 },
    { text: 'First paragraph.', kind: 'text', first: 4, last: 9 },
    { text: 'An item that goes on.', kind: 'text', first: 4, last: 9 },
    { text: 'what is last', kind: 'text', first: 10, last: 10 },
  ]);
});

test('prose of a page is its paragraphs, items, headings and cells, without fenced code', () => {
  const page =
    '# Title\n\nOne line\nand another.\n\n- Item\n\n| a | b c |\n| --- | --- |\n\n```sh\nwhat nobody runs\n```\n';
  expect(proseBlocksOf('a.md', page)).toEqual([
    { text: 'Title', kind: 'heading', first: 1, last: 1 },
    { text: 'One line and another.', kind: 'text', first: 3, last: 4 },
    { text: 'Item', kind: 'text', first: 6, last: 6 },
    { text: 'a', kind: 'cell', first: 8, last: 8 },
    { text: 'b c', kind: 'cell', first: 8, last: 8 },
  ]);
  expect(proseBlocksOf('a.json', '{}')).toEqual([]);
});

test('only what has changed since the commit is checked, committed or not', () => {
  const root = mkdtempSync(join(tmpdir(), 'prose-'));
  const git = (...args: readonly string[]) => {
    const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org'];
    return execFileSync('git', [...identity, ...args], { cwd: root, encoding: 'utf8' }).trim();
  };
  const write = (name: string, text: string) => {
    writeFileSync(join(root, name), text);
  };
  try {
    git('init', '--quiet');
    write('old.md', 'one\n\ntwo\n\nthree\n\nfour\n');
    git('add', '.');
    git('commit', '--quiet', '--message', 'first');
    const commit = git('rev-parse', 'HEAD');
    write('old.md', 'one\n\nnew two\n\nthree\n\nfour\n');
    git('commit', '--quiet', '--all', '--message', 'second');
    write('old.md', 'one\n\nnew two\n\nthree\n\nnew four\n');
    write('new.ts', '// one\n');
    write('größe.md', '// one\n');

    const changed = changedLinesSince(commit, root);
    const old = changed?.get('old.md');
    expect([1, 3, 5, 7].map((line) => old?.(line, line))).toEqual([false, true, false, true]);
    expect(changed?.get('new.ts')?.(1, 1)).toBe(true);
    expect(changed?.get('größe.md')?.(1, 1)).toBe(true);
    expect(changedLinesSince('0123456789abcdef', root)).toBeNull();
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
