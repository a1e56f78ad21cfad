import { execFileSync } from 'node:child_process';

const WITH_PROSE = ['*.md', '*.ts', '*.mjs', '*.js'];

/**
 * The files that differ from a commit. Each has a function that tells whether a line in a range has changed. `null`: this
 * clone lacks the commit.
 */
export function changedLinesSince(commit, root) {
  const git = (...args) =>
    execFileSync('git', ['-c', 'core.quotePath=false', ...args], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 1e9,
    });
  try {
    git('cat-file', '-e', `${commit}^{commit}`);
  } catch {
    return null;
  }
  const options = [
    '--unified=0',
    '--no-color',
    '--no-ext-diff',
    '--src-prefix=a/',
    '--dst-prefix=b/',
    '--diff-filter=d',
  ];
  const files = filesOfDiff(git('diff', ...options, commit, '--', ...WITH_PROSE));
  for (const path of git('ls-files', '--others', '--exclude-standard', '--', ...WITH_PROSE).split('\n')) {
    if (path !== '') files.set(path, () => true);
  }
  return files;
}

function filesOfDiff(diff) {
  const files = new Map();
  let hunks = [];
  for (const line of diff.split('\n')) {
    const path = /^\+\+\+ b\/(.*?)\t?$/.exec(line)?.[1];
    if (path !== undefined) {
      const own = [];
      hunks = own;
      files.set(path, (first, last) => own.some(([from, to]) => from <= last && to >= first));
    }
    const hunk = /^@@ -\S+ \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (hunk !== null) hunks.push([Number(hunk[1]), Number(hunk[1]) + Number(hunk[2] ?? 1) - 1]);
  }
  return files;
}
