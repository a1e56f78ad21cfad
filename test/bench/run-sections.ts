import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataFolderAt } from '../../infra/embedded/data-folder.js';
import { findServerPrograms } from '../../infra/embedded/find-server-programs.js';
import { createReporter } from '../../infra/embedded/reporter.js';
import { ResourceStack } from '../../infra/runtime/resource-stack.js';
import { benchEnv } from './bench-stack.js';
import { rounded, say } from './print.js';
import type { BenchSection, Figures } from './section.js';
import { abortAfter } from '../../infra/runtime/abort-after.js';

/**
 * One section after the other, in a folder that is thrown away. Prints figures and judges none; the exit code is 1 when
 * one could not be measured. The last line is `BENCH {…}`.
 */
export async function runSections(sections: readonly BenchSection[], isQuick = false): Promise<never> {
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      interrupted.abort(new Error(`interrupted by ${name}`));
    });
  }
  const folder = mkdtempSync(join(tmpdir(), 'durable-comfy-bench-'));
  chmodSync(folder, 0o755); // as root PostgreSQL runs under another account, which must get in
  say(`${cpus().length} processors, load ${rounded(loadavg()[0] ?? 0, 1)} at the start, Node ${process.version}`);
  await findPrograms(folder, interrupted.signal);
  let figures: Figures = {};
  for (const section of sections) {
    if (interrupted.signal.aborted) break;
    figures = { ...figures, ...(await measured(section, { root: folder, interrupted: interrupted.signal, isQuick })) };
  }
  rmSync(folder, { recursive: true, force: true });
  say(`Load ${rounded(loadavg()[0] ?? 0, 1)} at the end`);
  say(`BENCH ${JSON.stringify(figures)}`);
  // A section that was cut off may have left a request behind; everything it started is stopped.
  process.exit(process.exitCode);
}

/** Finds or builds the programs before anything is measured, and fixes one object store for all sections. */
async function findPrograms(folder: string, signal: AbortSignal): Promise<void> {
  const search = { env: benchEnv(), report: createReporter(process.stdout), signal };
  const { store } = await findServerPrograms(dataFolderAt(folder), search);
  if (store !== null) process.env['OBJECT_STORE'] = store.name;
}

async function measured(
  section: BenchSection,
  {
    root,
    interrupted,
    isQuick,
  }: { readonly root: string; readonly interrupted: AbortSignal; readonly isQuick: boolean },
): Promise<Figures> {
  const resources = new ResourceStack();
  const folder = join(root, section.name);
  mkdirSync(folder);
  say(`== ${section.name}`);
  try {
    return await abortAfter(section.limitMs, [interrupted], async (signal) =>
      Promise.race([section.measure({ folder, resources, signal, isQuick }), rejectedBy(signal)]),
    );
  } catch (error) {
    say(`The section ${section.name} could not measure: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
    return {};
  } finally {
    for (const { name, error } of await resources.release()) say(`${name} did not stop cleanly: ${String(error)}`);
  }
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
