import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { FAILURE_KINDS } from '../../workflows/domain/failure.js';
import { projectRoot } from '../../infra/runtime/project-root.js';

const read = (...path: readonly string[]): string => readFileSync(join(projectRoot, ...path), 'utf8');
const SOURCES = ['activities', 'api', 'cli', 'infra', 'workers', 'workflows'];
/** Read by programs and libraries, not settings of ours. */
const NOT_OURS = ['PATH', 'HOME', 'XDG_CACHE_HOME', 'LC_MESSAGES'];

test('.env.example lists every variable that the code reads', () => {
  const listed = new Set([...read('.env.example').matchAll(/^#?([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name));
  const missing = variablesRead().filter((name) => !listed.has(name) && !NOT_OURS.includes(name));
  expect(missing).toEqual([]);
});

test('the README gives a reason for every runtime dependency, and for nothing else', () => {
  const { dependencies, optionalDependencies } = JSON.parse(read('package.json')) as {
    readonly dependencies: Record<string, string>;
    readonly optionalDependencies: Record<string, string>;
  };
  const table = read('README.md').split('## Dependencies, and why')[1] ?? '';
  const named = [...table.matchAll(/^\| ([^|]+) \| [^|]+ \|$/gm)]
    .flatMap(([, cell]) => (cell ?? '').replace(/\(.*\)/, '').split(','))
    .map((name) => name.trim())
    .filter((name) => name !== 'package' && !name.startsWith('-'));
  const withScope = named.map((name) => (isTemporalPart(name) ? `@temporalio/${name}` : name));
  const installed = Object.keys({ ...dependencies, ...optionalDependencies });
  expect(withScope.filter((name) => !installed.includes(name) && name !== '@temporalio/testing')).toEqual([]);
  expect(installed.filter((name) => !withScope.includes(name))).toEqual([]);
});

test('the README says of every failure kind what happens', () => {
  const readme = read('README.md');
  expect(FAILURE_KINDS.filter((kind) => !readme.includes(`\`${kind}\``))).toEqual([]);
});

test('R1.9 the operating guide keeps the advice that helps an unstable ComfyUI', () => {
  const guide = read('docs', 'operating.md');
  for (const advice of ['skip_fetch_on_startup = True', 'another CLIP file', '--lowvram'])
    expect(guide).toContain(advice);
});

test('every link between documents leads to a file', () => {
  for (const document of [
    'README.md',
    ...readdirSync(join(projectRoot, 'docs'))
      .filter(isMarkdown)
      .map((name) => `docs/${name}`),
  ]) {
    const folder = document.includes('/') ? 'docs' : '.';
    const targets = [...read(document).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => target ?? '');
    expect(targets.filter((target) => !existsSync(join(projectRoot, folder, target)))).toEqual([]);
  }
});

function variablesRead(): readonly string[] {
  const files = SOURCES.flatMap((folder) =>
    readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.startsWith('simulators'))
      .map((name) => read(folder, name)),
  );
  const names = files.flatMap((text) => [
    ...[
      ...text.matchAll(/(?:string|integer|number|boolean|list)From\(\s*(?:process\.)?env,\s*'([A-Z][A-Z0-9_]+)'/g),
    ].map(([, name]) => name),
    ...[...text.matchAll(/env\['([A-Z][A-Z0-9_]+)'\]/g)].map(([, name]) => name),
  ]);
  return [...new Set(names.filter((name) => name !== undefined))];
}

function isTemporalPart(name: string): boolean {
  return ['worker', 'workflow', 'activity', 'common', 'proto', 'envconfig', 'testing'].includes(name);
}

function isMarkdown(name: string): boolean {
  return name.endsWith('.md');
}
