// Runs before `npm start` and `npm run dev`. It gets the programs that this machine lacks (Temporal, an S3 server), which may
// take minutes, and builds the project at the same time. The search has a bundle of its own, made in about 100 ms.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildChanged, failureText } from './build/build-changed.mjs';
import { whenParentEnds } from './when-parent-ends.mjs';

/** Exit code of a program that SIGINT ended. */
const INTERRUPTED = 130;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
// Not in dist/, which the build may empty.
const bundle = join(root, 'node_modules', '.cache', 'durable-comfy', 'get-programs.mjs');

try {
  await bundleProgramSearch();
  process.exitCode = await buildBesideSearch();
} catch (error) {
  process.stderr.write(failureText(error));
  process.exitCode = 1;
}

async function bundleProgramSearch() {
  await build({
    absWorkingDir: root,
    entryPoints: ['infra/embedded/programs/main.ts'],
    outfile: bundle,
    ...{ bundle: true, packages: 'external', format: 'esm', platform: 'node', target: 'node20' },
    ...{ sourcemap: 'inline', sourcesContent: false, logLevel: 'silent' },
  });
}

/** Resolves with the exit code of the search. When the build fails, it ends the search and rejects with the error of the build. */
async function buildBesideSearch() {
  const search = spawn(process.execPath, ['--enable-source-maps', bundle], { cwd: root, stdio: 'inherit' });
  const ended = new Promise((resolve) => search.once('exit', (code) => resolve(code ?? 1)));
  // Ctrl-C reaches both processes. This one waits until the search has cleaned up. The next build repeats an interrupted step.
  const interrupt = (signal) => {
    search.kill(signal);
    void ended.then(() => process.exit(INTERRUPTED));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupt);
  whenParentEnds(() => interrupt('SIGTERM'));
  try {
    await buildChanged(root);
  } catch (error) {
    search.kill('SIGTERM');
    await ended;
    throw error;
  }
  return ended;
}
