import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openRecord } from './build-record.mjs';
import { bundlePrograms } from './bundle-programs.mjs';
import { bundleWorkflows } from './bundle-workflows.mjs';
import { compileSources } from './compile-sources.mjs';
import { readSources } from './read-sources.mjs';

/**
 * Brings `dist/` up to date with the sources. It compiles each file, bundles the Workflows (a worker that bundles for itself
 * starts a second later), bundles the programs and notes the commit. Each step handles only changed sources. The next build
 * repeats a step that was interrupted.
 */
export async function buildChanged(root) {
  const dist = join(root, 'dist');
  const { sources, tools } = readSources(root);
  if (!existsSync(join(dist, 'built.json'))) {
    process.stderr.write('Building durable-comfy, about 10 seconds, once …\n');
    rmSync(dist, { recursive: true, force: true }); // files of another layout would stay forever
  }
  mkdirSync(dist, { recursive: true });
  const project = { root, dist, sources, record: openRecord(dist, tools) };
  await compileSources(project);
  const steps = await Promise.allSettled([bundleWorkflows(project), bundlePrograms(project)]);
  for (const step of steps) if (step.status === 'rejected') throw step.reason;
  writeIfChanged(join(dist, 'build-info.json'), JSON.stringify({ commit: commitOf(root) }));
}

/** The message for the terminal. esbuild's own messages name file, line and column, so its heading is left out. */
export function failureText(error) {
  return `Build failed: ${error.message.replace(/^Build failed with .*\n/, '')}\n`;
}

function commitOf(root) {
  try {
    return execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    return 'unknown'; // a tarball, or no git
  }
}

function writeIfChanged(path, text) {
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
}
