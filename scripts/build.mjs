// Compiles to dist/, bundles the workflows once (a worker that bundles for itself starts a second later),
// and writes down which commit was built.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
if (!existsSync(join(dist, '.tsbuildinfo'))) process.stderr.write('Building durable-comfy, about 15 seconds, once …\n');
mkdirSync(dist, { recursive: true });

try {
  execFileSync(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
    { stdio: 'inherit' },
  );
} catch {
  process.exit(1); // tsc has said what is wrong
}
writeIfChanged(join(dist, 'build-info.json'), JSON.stringify({ commit: commit() }));
await bundleWorkflows();

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
  const stamp = stampOfSources();
  if (existsSync(bundlePath) && existsSync(stampPath) && readFileSync(stampPath, 'utf8') === stamp) return;
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(dist, 'workflows', 'index.js'),
    logger: new DefaultLogger('WARN'),
  });
  writeFileSync(bundlePath, code);
  writeFileSync(stampPath, stamp);
}

function stampOfSources() {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  const folder = join(dist, 'workflows');
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    if (name.endsWith('.js')) hash.update(name).update(readFileSync(join(folder, name)));
  }
  return hash.digest('hex');
}

function writeIfChanged(path, text) {
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
}
