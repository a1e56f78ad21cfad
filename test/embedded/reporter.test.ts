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
  [640, 1_301, 120_000, 'compiled 640 of 1,301 packages, about 2 min left'],
  [640, 1_301, 60_000, 'compiled 640 of 1,301 packages, about 62 s left'],
  [640, 1_301, 2_000, 'compiled 640 of 1,301 packages'], // too early to judge
  [1_301, 1_301, 200_000, 'compiled 1,301 of 1,301 packages'],
])('%i of %i packages after %i ms: %s', (done, total, elapsedMs, words) => {
  expect(packagesInWords(done, total, elapsedMs)).toBe(words);
});

test.each([
  [45_200_000, 60_000_000, 9_000, '45 of 60 MB, about 3 s left'],
  [45_200_000, 60_000_000, 1_000, '45 of 60 MB'],
  [45_200_000, 0, 9_000, '45 MB'], // the server did not announce a size
])('%i of %i bytes after %i ms: %s', (done, total, elapsedMs, words) => {
  expect(megabytesInWords(done, total, elapsedMs)).toBe(words);
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
