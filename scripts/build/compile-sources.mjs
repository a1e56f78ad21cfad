import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

/** Writes `dist/<path>.js` and its source map for each source that has changed. After a syntax error `dist/` is as before. */
export async function compileSources({ root, dist, sources, record }) {
  const known = record.get().sources;
  const changed = [...sources.keys()].filter((path) => known[path] !== sources.get(path));
  const removed = Object.keys(known).filter((path) => !sources.has(path));
  if (changed.length + removed.length === 0) return;
  const outputs = await compiled({ root, dist, changed });
  const kept = Object.entries(known).filter(([path, hash]) => sources.get(path) === hash);
  record.change({ sources: Object.fromEntries(kept) });
  for (const path of removed) for (const end of ['.js', '.js.map']) rmSync(outputOf(dist, path, end), { force: true });
  for (const { path, contents } of outputs) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  record.change({ sources: Object.fromEntries(sources) });
}

async function compiled({ root, dist, changed }) {
  if (changed.length === 0) return [];
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: changed,
    outbase: root,
    outdir: dist,
    ...{ write: false, format: 'esm', platform: 'node', target: 'node20', charset: 'utf8' },
    ...{ sourcemap: 'linked', sourcesContent: false, logLevel: 'silent' },
  });
  return outputFiles;
}

function outputOf(dist, path, end) {
  return join(dist, path.replace(/\.ts$/, end));
}
