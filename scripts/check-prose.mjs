// The last part of `npm run lint`. It checks comments and docs that are new or changed since a commit against STYLE.md,
// "Language". Older prose is not checked until it is edited.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { changedLinesSince } from './prose/changed-lines.mjs';
import { proseBlocksOf } from './prose/prose-blocks.mjs';
import { problemsOf } from './prose/prose-rules.mjs';

/** A fixed commit, because a clone in CI may have no main branch to compare with. */
const SINCE = '2baa4c580223';
const NOT_OURS = /^(test\/recorded|test\/replay\/histories|test\/lint\/violations|infra\/simulators\/comfyui\/data)\//;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const changed = changedLinesSince(SINCE, root);
if (changed === null) {
  process.stderr.write(
    `Prose was not checked: commit ${SINCE} is not in this clone (no Git checkout, or a shallow one: "git fetch --unshallow").\n`,
  );
} else {
  const ours = [...changed].filter(([path]) => !NOT_OURS.test(path));
  const problems = ours.flatMap(([path, isChanged]) => problemsOfFile(path, isChanged));
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  if (problems.length > 0) {
    process.stdout.write(
      `\n${problems.length} problems. Rules: STYLE.md, "Language". Exception: "prose-ok: <reason>" in the same block.\n`,
    );
    process.exitCode = 1;
  }
}

function problemsOfFile(path, isChanged) {
  return proseBlocksOf(path, readFileSync(join(root, path), 'utf8'))
    .filter(({ first, last }) => isChanged(first, last))
    .flatMap(({ text, kind, first }) =>
      problemsOf(text, kind).map(({ rule, said, advice }) => `${path}:${first}: ${rule}: ${advice}: ${said}`),
    );
}
