// Compiles to dist/, bundles the workflows once (a worker that bundles for itself starts a second later) and the programs,
// and writes down which commit was built. Sources that were built already are left alone: the compiler takes five
// seconds to find that out for itself, at every start.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundlePrograms } from './bundle-programs.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
if (!existsSync(join(dist, '.tsbuildinfo'))) process.stderr.write('Building durable-comfy, about 15 seconds, once …\n');
mkdirSync(dist, { recursive: true });

const builtPath = join(dist, 'built.sha256');
const sources = stampOfSources();
if (!existsSync(builtPath) || readFileSync(builtPath, 'utf8') !== sources) {
  rmSync(builtPath, { force: true }); // a build that breaks off leaves dist/ in between
  compile();
  await bundleWorkflows();
  await bundlePrograms(dist);
  writeFileSync(builtPath, sources);
}
writeIfChanged(join(dist, 'build-info.json'), JSON.stringify({ commit: commit() }));

function compile() {
  try {
    execFileSync(
      process.execPath,
      [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
      { stdio: 'inherit' },
    );
  } catch {
    process.exit(1); // tsc has said what is wrong
  }
}

/** By their contents: another checkout of the same commit has other times. */
function stampOfSources() {
  const config = join(root, 'tsconfig.build.json');
  const { include } = JSON.parse(readFileSync(config, 'utf8'));
  const hash = createHash('sha256').update(process.version);
  for (const path of [config, join(root, 'tsconfig.json'), join(root, 'package-lock.json')])
    hash.update(readFileSync(path));
  for (const folder of include) hashFolder(hash, join(root, folder), '.ts');
  hashFolder(hash, join(root, 'scripts'), '.mjs');
  return hash.digest('hex');
}

function commit() {
  try {
    return execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    return 'unknown'; // a tarball, or no git
  }
}

async function bundleWorkflows() {
  const bundlePath = join(dist, 'workflow-bundle.js');
  const stampPath = join(dist, 'workflow-bundle.sha256');
  const stamp = stampOfWorkflows();
  if (existsSync(bundlePath) && existsSync(stampPath) && readFileSync(stampPath, 'utf8') === stamp) return;
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(dist, 'workflows', 'index.js'),
    logger: new DefaultLogger('WARN'),
  });
  writeFileSync(bundlePath, code);
  writeFileSync(stampPath, stamp);
}

function stampOfWorkflows() {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  hashFolder(hash, join(dist, 'workflows'), '.js');
  return hash.digest('hex');
}

function hashFolder(hash, folder, extension) {
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    if (name.endsWith(extension)) hash.update(name).update(readFileSync(join(folder, name)));
  }
}

function writeIfChanged(path, text) {
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
}
