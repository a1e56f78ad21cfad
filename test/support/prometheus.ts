import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../infra/embedded/programs/find-program.js';
import type { KnownProgram } from '../../infra/embedded/programs/known-programs.js';
import { createReporter } from '../../infra/embedded/reporter.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { freePort } from '../activities/support/stub-server.js';
import { until } from './until.js';

/** The newest release with published sums that we found. Go builds 3.16.0. */
const VERSION = '3.14.0';

/** For tests of what we give to operators. Without the discovery of targets in clouds it builds in half the time. */
const PROMETHEUS: KnownProgram = {
  name: 'prometheus',
  release: {
    version: `v${VERSION}`,
    url: (platform, architecture) =>
      `https://github.com/prometheus/prometheus/releases/download/v${VERSION}/${folderOf(platform, architecture)}.tar.gz`,
    pathInArchive: (platform, architecture) => `${folderOf(platform, architecture)}/prometheus`,
    sha256: {
      'linux-x64': 'f665c6da19eb7ba399c915d30c7d9793c9b417bf8a749b504bc470678631478d',
      'linux-arm64': '077f3781ab7245dc04c9a3c9b78ba120fc8e41aa0dc97489b0af67247e50ba83',
      'darwin-x64': 'a14307b9726e66cadb81be9a544732623af26dabeb7702c987aa9c3c062ada34',
      'darwin-arm64': 'a9623f7f4fe65b1b171b423c1a72bbf23dfdf41a171dcb33e7dd302af80dc01c',
    },
  },
  wheel: null,
  goBuild: {
    module: 'github.com/prometheus/prometheus/cmd/prometheus',
    version: 'v0.316.0',
    tags: 'remove_all_sd',
    packages: 1_044,
  },
  pathVariable: 'PROMETHEUS_PATH',
  addressVariable: null,
  // A build by "go install" does not know its version.
  objectionTo: (versionAnswer) => (versionAnswer.startsWith('prometheus, version') ? null : 'is not Prometheus'),
};

function folderOf(platform: string, architecture: string): string {
  return `prometheus-${VERSION}.${platform}-${architecture === 'x64' ? 'amd64' : architecture}`;
}

/** One value with its labels. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface Prometheus {
  /** Evaluates an expression now; throws what Prometheus objects to. */
  readonly query: (expression: string) => Promise<readonly Series[]>;
  /** The expression and the health of each rule that it has loaded. */
  readonly rules: () => Promise<readonly { readonly name: string; readonly query: string; readonly health: string }[]>;
  /** Addresses that it reads and how the last reading went. */
  readonly targets: () => Promise<
    readonly { readonly scrapeUrl: string; readonly health: string; readonly lastError: string }[]
  >;
  readonly stop: () => Promise<void>;
}

const PROGRAM_WITHIN_MS = 20 * 60_000;

/** The program, found or built as those of the stack are; where it is missing that takes minutes, once. */
export async function findPrometheus(): Promise<string> {
  const report = createReporter(process.stdout);
  return findProgram(PROMETHEUS, { env: process.env, report, signal: AbortSignal.timeout(PROGRAM_WITHIN_MS) });
}

/** Prometheus on our own configuration and rules, with these addresses in the place of the usual ones, every second. */
export async function startPrometheus(
  program: string,
  addresses: { readonly api: string; readonly worker: string },
): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
  const ours = join(projectRoot, 'infra', 'grafana', 'prometheus');
  const config = readFileSync(join(ours, 'prometheus.yml'), 'utf8')
    .replace('127.0.0.1:8328', addresses.api)
    .replace('127.0.0.1:9464', addresses.worker)
    .replaceAll(/_interval: 15s/g, '_interval: 1s');
  writeFileSync(join(folder, 'prometheus.yml'), config);
  copyFileSync(join(ours, 'alerts.yml'), join(folder, 'alerts.yml'));
  const url = `http://127.0.0.1:${await freePort()}`;
  const args = [
    ...[`--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`],
    `--web.listen-address=${new URL(url).host}`,
  ];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await until('Prometheus is ready', async () => {
    if (child.exitCode !== null) throw new Error(said.join(''));
    return (await fetch(`${url}/-/ready`)).ok;
  });
  return {
    query: async (expression) => {
      const answer = await dataOf(`${url}/api/v1/query?${new URLSearchParams({ query: expression }).toString()}`);
      return (answer as { readonly result: readonly Series[] }).result;
    },
    rules: async () => {
      const { groups } = (await dataOf(`${url}/api/v1/rules`)) as {
        readonly groups: readonly { readonly rules: Awaited<ReturnType<Prometheus['rules']>> }[];
      };
      return groups.flatMap(({ rules }) => rules);
    },
    targets: async () => {
      const data = (await dataOf(`${url}/api/v1/targets`)) as {
        readonly activeTargets: Awaited<ReturnType<Prometheus['targets']>>;
      };
      return data.activeTargets;
    },
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function dataOf(url: string): Promise<unknown> {
  const answer = (await (await fetch(url)).json()) as { readonly data?: unknown; readonly error?: string };
  if (answer.error !== undefined) throw new Error(`${decodeURIComponent(url)}: ${answer.error}`);
  return answer.data;
}
