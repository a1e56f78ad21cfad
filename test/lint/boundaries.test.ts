import { beforeAll, describe, expect, test } from '@jest/globals';
import { ESLint } from 'eslint';
import { projectRoot } from '../../infra/runtime/project-root.js';

/** The first text needs the types of the whole project; that takes longest on a busy machine. */
const TYPES_WITHIN_MS = 120_000;
const LINT_WITHIN_MS = 60_000;

/**
 * Texts are linted under the names of files that exist: nothing is written, so a lint of the project that runs at the
 * same time sees no violation of ours. What an allowed text imports must be none of these files: their text is replaced.
 */
const AS = {
  workflow: 'workflows/generate-media.ts',
  contract: 'workflows/contracts/generation.ts',
  domain: 'workflows/domain/graph.ts',
  activity: 'activities/stop-prompt.ts',
  client: 'activities/comfyui/comfyui-client.ts',
  route: 'api/routes/generations.ts',
  worker: 'workers/gpu-worker.ts',
  root: 'workers/main.ts',
  infra: 'infra/postgres/database.ts',
  command: 'cli/templates/check-command.ts',
  test: 'test/support/until.ts',
} as const;
type Place = keyof typeof AS;

let eslint: ESLint;
beforeAll(async () => {
  eslint = new ESLint({ cwd: projectRoot, overrideConfigFile: `${projectRoot}/eslint.config.js` });
  await reported('domain', 'export const value = 1;');
}, TYPES_WITHIN_MS);

/** What is said about a text in one place, as `rule: message`. */
async function reported(place: Place, code: string): Promise<readonly string[]> {
  const results = await eslint.lintText(`${code}\n`, { filePath: `${projectRoot}/${AS[place]}` });
  return results.flatMap(({ messages }) => messages.map(({ ruleId, message }) => `${ruleId ?? 'fatal'}: ${message}`));
}

type Case = readonly [place: Place, code: string];

const IMPORTS = '@typescript-eslint/no-restricted-imports';

function refused(rule: string, tag: string, cases: readonly Case[]): void {
  test.each(cases)(
    `${tag} refuses in a %s: %s`,
    async (place, code) => {
      const messages = await reported(place, code);
      expect(messages.filter((message) => message.startsWith(`${rule}: `) && message.includes(tag))).not.toEqual([]);
    },
    LINT_WITHIN_MS,
  );
}

function allowed(tag: string, cases: readonly Case[]): void {
  test.each(cases)(
    `${tag} allows in a %s: %s`,
    async (place, code) => {
      expect(await reported(place, code)).toEqual([]);
    },
    LINT_WITHIN_MS,
  );
}

describe('Imports', () => {
  refused(IMPORTS, '[BOUND1]', [
    ['workflow', "import { readFileSync } from 'node:fs';\nreadFileSync('/');"],
    ['workflow', "import { setTimeout as sleep } from 'timers/promises';\nvoid sleep(1);"],
    ['workflow', "import { request } from 'undici';\nvoid request('http://a');"],
    ['workflow', "import { Client } from '@temporalio/client';\nexport const client = new Client();"],
    ['workflow', "import { log } from '@temporalio/activity';\nlog.info('a');"],
    ['contract', "import { migrate } from '../../infra/postgres/migrate.js';\nexport const run = migrate;"],
    ['contract', "import type { WorkerConfig } from '../../workers/worker-config.js';\nexport type A = WorkerConfig;"],
    [
      'workflow',
      "import { createStopPrompt } from '../activities/stop-prompt.js';\nexport const create = createStopPrompt;",
    ],
    ['workflow', "import { createLogger } from '../infra/runtime/logger.js';\nexport const create = createLogger;"],
  ]);
  allowed('[BOUND1]', [
    ['workflow', "import type { Spool } from '../activities/spool/spool.js';\nexport type A = Spool;"],
    ['workflow', "import { sleep } from '@temporalio/workflow';\nexport const wait = async () => sleep('1 second');"],
  ]);

  refused(IMPORTS, 'the command', [
    ['command', "import { startGpuWorker } from '../../workers/gpu-worker.js';\nexport const a = startGpuWorker;"],
    ['command', "import { createApp } from '../../api/app.js';\nexport const a = createApp;"],
    ['command', "import { templateRoutes } from '../../api/routes/templates.js';\nexport const a = templateRoutes;"],
    ['command', "import { generateMedia } from '../../workflows/generate-media.js';\nexport const a = generateMedia;"],
  ]);
  allowed('the command', [
    ['command', "import { thumbnailIn } from '../../api/templates/read-thumbnail.js';\nexport const a = thumbnailIn;"],
  ]);

  refused(IMPORTS, '[BOUND2]', [
    ['domain', "import { GENERATE_MEDIA } from '../contracts/generation.js';\nexport const a = GENERATE_MEDIA;"],
    ['domain', "import type { StoredOutput } from '../contracts/generation.js';\nexport type A = StoredOutput;"],
    ['domain', "import type { Spool } from '../../activities/spool/spool.js';\nexport type A = Spool;"],
    ['domain', "import { sleep } from '@temporalio/workflow';\nexport const a = sleep;"],
    ['domain', "import { ApplicationFailure } from '@temporalio/common';\nexport const a = ApplicationFailure;"],
    ['domain', "import { z } from 'zod';\nexport const a = z.string();"],
    ['domain', "import { randomUUID } from 'node:crypto';\nexport const a = randomUUID();"],
  ]);
  refused('no-restricted-globals', '[BOUND2]', [
    ['domain', 'export const a = Date.now();'],
    ['domain', 'export const a = new Date();'],
    ['domain', 'export const a = process.cwd();'],
    ['domain', "export const a = Buffer.from('');"],
    ['domain', "export const a = fetch('http://a');"],
    ['domain', 'export const a = setTimeout(() => undefined, 1);'],
    ['domain', 'export const a = performance.now();'],
    ['domain', 'export const a = crypto.randomUUID();'],
  ]);
  refused('no-restricted-properties', '[BOUND2]', [['domain', 'export const a = Math.random();']]);
  allowed('[BOUND2]', [['domain', "import { assertNever } from './assert-never.js';\nexport const a = assertNever;"]]);

  refused(IMPORTS, '[BOUND3]', [
    ['activity', "import { workerConfigFrom } from '../workers/worker-config.js';\nexport const a = workerConfigFrom;"],
    ['activity', "import type { WorkerConfig } from '../workers/worker-config.js';\nexport type A = WorkerConfig;"],
    ['client', "import { createApp } from '../../api/create-app.js';\nexport const a = createApp;"],
    ['activity', "import { generateMedia } from '../workflows/generate-media.js';\nexport const a = generateMedia;"],
    ['activity', "import { generateMedia } from '../workflows/index.js';\nexport const a = generateMedia;"],
    ['client', "import { generateMedia } from '../../workflows/index.js';\nexport const a = generateMedia;"],
  ]);
  allowed('[BOUND3]', [
    [
      'activity',
      "import { isTerminal } from '../workflows/domain/generation-status.js';\nexport const a = isTerminal;",
    ],
    [
      'activity',
      "import { gpuTaskQueue } from '../workflows/contracts/task-queues.js';\nexport const a = gpuTaskQueue;",
    ],
  ]);

  refused(IMPORTS, '[BOUND4]', [
    [
      'route',
      "import { createObjectStore } from '../../activities/storage/object-store.js';\nexport const a = createObjectStore;",
    ],
    ['route', "import { openDatabase } from '../../infra/postgres/database.js';\nexport const a = openDatabase;"],
    ['route', "import { workerConfigFrom } from '../../workers/worker-config.js';\nexport const a = workerConfigFrom;"],
    ['route', "import { generateMedia } from '../../workflows/generate-media.js';\nexport const a = generateMedia;"],
  ]);
  allowed('[BOUND4]', [
    [
      'route',
      "import type { generateMedia } from '../../workflows/generate-media.js';\nexport type A = typeof generateMedia;",
    ],
    [
      'route',
      "import { isTerminal } from '../../workflows/domain/generation-status.js';\nexport const a = isTerminal;",
    ],
  ]);

  refused('no-restricted-properties', '[BOUND5]', [
    ['worker', "export const a = process.env['HOME'];"],
    ['activity', 'export const { HOME } = process.env;'],
    ['infra', "export const a = process.env['HOME'];"],
    ['route', "export const a = process.env['HOME'];"],
    ['workflow', "export const a = process.env['HOME'];"],
  ]);
  allowed('[BOUND5]', [['root', "export const a = process.env['HOME'];"]]);

  test(
    '[BOUND6] refuses a cycle: graph-shape imports graph, so graph may not import graph-shape',
    async () => {
      const code = [
        "import { shapeBreaches } from './graph-shape.js';",
        'export const isLink = (value: unknown): boolean => shapeBreaches.length === value;',
      ];
      const messages = await reported('domain', code.join('\n'));
      expect(messages.filter((message) => message.startsWith('import-x/no-cycle: '))).toHaveLength(1);
    },
    LINT_WITHIN_MS,
  );

  refused(IMPORTS, 'infra knows', [
    [
      'infra',
      "import { createStopPrompt } from '../../activities/stop-prompt.js';\nexport const a = createStopPrompt;",
    ],
    [
      'infra',
      "import { isTerminal } from '../../workflows/domain/generation-status.js';\nexport const a = isTerminal;",
    ],
  ]);
});

describe('House style', () => {
  const lines = (count: number) => Array.from({ length: count }, (_, index) => `export const a${index} = ${index};`);

  test.each([
    ['a promise that nobody waits for', '@typescript-eslint/no-floating-promises', 'Promise.resolve(1);'],
    [
      'a promise where none is expected',
      '@typescript-eslint/no-misused-promises',
      'export const a = (run: () => Promise<boolean>) => (run() ? 1 : 2);',
    ],
    ['a file of more than 300 lines', 'max-lines', lines(301).join('\n')],
    [
      'a function of more than 60 lines',
      'max-lines-per-function',
      `export function a(): void {\n${'  void 0;\n'.repeat(60)}}`,
    ],
    [
      'more than three parameters',
      'max-params',
      'export const a = (b: number, c: number, d: number, e: number) => b + c + d + e;',
    ],
    ['any', '@typescript-eslint/no-explicit-any', 'export const a = (b: any): unknown => b;'],
    [
      'an assertion that something is there',
      '@typescript-eslint/no-non-null-assertion',
      'export const a = (b: string | null) => b!.length;',
    ],
    ['a default export', 'import-x/no-default-export', 'const a = 1;\nexport default a;'],
    ['console', 'no-console', "console.log('a');"],
    ['an enum', 'no-restricted-syntax', 'export enum A {\n  B = 1,\n}'],
    ['else after return', 'no-else-return', 'export function a(b: boolean) {\n  if (b) return 1;\n  else return 2;\n}'],
    [
      '|| for a default',
      '@typescript-eslint/prefer-nullish-coalescing',
      "export const a = (b: string | null) => b || 'c';",
    ],
    ['==', 'eqeqeq', 'export const a = (b: number) => b == 1;'],
    [
      'a switch that forgets a member',
      '@typescript-eslint/switch-exhaustiveness-check',
      "export function a(b: 'c' | 'd') {\n  switch (b) {\n    case 'c':\n      return 1;\n  }\n  return 2;\n}",
    ],
    [
      'a type imported as a value',
      '@typescript-eslint/consistent-type-imports',
      "import { ApiGraph } from '../workflows/domain/graph.js';\nexport type A = ApiGraph;",
    ],
  ])(
    'refuses %s',
    async (_what, rule, code) => {
      expect((await reported('activity', code)).map((message) => message.split(': ')[0])).toEqual([rule]);
    },
    LINT_WITHIN_MS,
  );

  test(
    'lets a file of 300 lines, a function of 60 and three parameters pass',
    async () => {
      const body = `export function a(b: number, c: number, d: number): number {\n${'  void 0;\n'.repeat(57)}  return b + c + d;\n}`;
      expect(await reported('activity', [...lines(240), body].join('\n'))).toEqual([]);
    },
    LINT_WITHIN_MS,
  );

  test(
    'lets tests be as long as they need',
    async () => {
      expect(await reported('test', lines(301).join('\n'))).toEqual([]);
    },
    LINT_WITHIN_MS,
  );
});
