import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { megabytesInWords, packagesInWords } from '../../infra/embedded/programs/estimate.js';
import { createReporter } from '../../infra/embedded/reporter.js';

beforeEach(() => {
  jest.useFakeTimers({ now: 1_000_000 });
});

afterEach(() => {
  jest.useRealTimers();
});

test('on a terminal each topic has a line that is rewritten, below what is said', () => {
  const out = output({ isTTY: true, columns: 40 });
  const report = createReporter(out);
  report.progress('temporal', '10 of 45 MB');
  report.progress('minio', '20 of 111 MB');
  jest.advanceTimersByTime(1_000);
  report.progress('temporal', '15 of 45 MB');
  expect(screenOf(out)).toEqual(['temporal: 15 of 45 MB', 'minio: 20 of 111 MB']);
  report.say('temporal v1.9.1 is ready');
  report.progress('minio', `30 of 111 MB, ${'about '.repeat(10)}`);
  expect(screenOf(out)).toEqual(['temporal v1.9.1 is ready', 'minio: 30 of 111 MB, about about about ']);
});

test('elsewhere each topic gets a line, and the next one ten seconds later', () => {
  const out = output({ isTTY: false, columns: 0 });
  const report = createReporter(out);
  report.progress('temporal', '10 of 45 MB');
  report.progress('minio', '20 of 111 MB');
  report.progress('temporal', '11 of 45 MB');
  jest.advanceTimersByTime(10_000);
  report.progress('minio', '30 of 111 MB');
  expect(screenOf(out)).toEqual(['temporal: 10 of 45 MB', 'minio: 20 of 111 MB', 'minio: 30 of 111 MB', '']);
});

test.each([
  { done: 640, elapsedMs: 120_000, words: 'compiled 640 of 1,301 packages, about 2 min left' },
  { done: 640, elapsedMs: 60_000, words: 'compiled 640 of 1,301 packages, about 62 s left' },
  { done: 640, elapsedMs: 2_000, words: 'compiled 640 of 1,301 packages' }, // too early to judge
  { done: 1_301, elapsedMs: 200_000, words: 'compiled 1,301 of 1,301 packages' },
])('$done of 1,301 packages after $elapsedMs ms: $words', ({ done, elapsedMs, words }) => {
  expect(packagesInWords(done, 1_301, elapsedMs)).toBe(words);
});

test.each([
  { total: 60_000_000, elapsedMs: 9_000, words: '45 of 60 MB, about 3 s left' },
  { total: 60_000_000, elapsedMs: 1_000, words: '45 of 60 MB' },
  { total: 0, elapsedMs: 9_000, words: '45 MB' }, // the server did not announce a size
])('45.2 MB of $total bytes after $elapsedMs ms: $words', ({ total, elapsedMs, words }) => {
  expect(megabytesInWords(45_200_000, total, elapsedMs)).toBe(words);
});

function output(terminal: { readonly isTTY: boolean; readonly columns: number }): NodeJS.WriteStream & PassThrough {
  return Object.assign(new PassThrough(), terminal) as unknown as NodeJS.WriteStream & PassThrough;
}

const screens = new WeakMap<PassThrough, string>();

/** The rows that a terminal shows after all that was written to it. */
function screenOf(out: PassThrough): readonly string[] {
  const written = `${screens.get(out) ?? ''}${String(out.read() ?? '')}`;
  screens.set(out, written);
  const rows = [''];
  let row = 0;
  for (const [part] of written.matchAll(/\u001b\[1A|\u001b\[J|\r|\n|[^\u001b\r\n]+/g)) {
    if (part === '\u001b[1A') row -= 1;
    else if (part === '\u001b[J') rows.length = row + 1;
    else if (part === '\r')
      rows[row] = ''; // the erasure that follows it clears the row
    else if (part === '\n') {
      row += 1;
      rows[row] ??= '';
    } else rows[row] = `${rows[row] ?? ''}${part}`;
  }
  return rows;
}
