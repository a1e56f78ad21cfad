import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from '@jest/globals';
import { createSmallProject } from './small-project.js';

const WORKFLOW = (answer: string) =>
  `export async function answer(): Promise<string> { return 'the ${answer} answer'; }\n`;
const SOURCES = {
  'workflows/index.ts': WORKFLOW('first'),
  'infra/shared.ts': `export const shared = 'shared 1';\n`,
  'api/main.ts': `import { shared } from '../infra/shared.js';\nprocess.stdout.write(shared);\n`,
  'infra/simulators/fal/main.ts': `interface Unused { readonly a: 1 }\nclass OddError extends Error {}\nconst unused: Unused = { a: 1 };\nif (unused.a) throw new OddError('odd');\n`,
};
const project = createSmallProject(SOURCES);
const LIMIT_MS = 120_000;

afterAll(() => {
  project.remove();
});

afterEach(() => {
  project.breakCompiler(false);
  for (const [path, text] of Object.entries(SOURCES)) project.write(path, text);
});

function build(): { readonly status: number | null; readonly said: string } {
  const { status, stderr } = spawnSync(process.execPath, [join(project.root, 'scripts', 'build.mjs')], {
    encoding: 'utf8',
  });
  return { status, said: stderr };
}

function run(program: string): { readonly stdout: string; readonly stderr: string } {
  return spawnSync(process.execPath, [join(project.root, 'dist', 'bin', `${program}.js`)], { encoding: 'utf8' });
}

const workflowBundle = () => readFileSync(join(project.root, 'dist', 'workflow-bundle.js'), 'utf8');
const codes = () => {
  const record = JSON.parse(readFileSync(join(project.root, 'dist', 'built.json'), 'utf8')) as {
    readonly programs: Readonly<Record<string, { readonly code: string }>>;
  };
  return { api: record.programs['api/main']?.code, fal: record.programs['infra/simulators/fal/main']?.code };
};

test(
  'a build with unchanged sources compiles nothing, and a changed source is compiled',
  () => {
    expect(build().status).toBe(0);
    expect(workflowBundle()).toContain('the first answer');

    project.breakCompiler(true);
    expect(build().status).toBe(0);
    project.write('workflows/index.ts', WORKFLOW('second'));
    expect(build()).toEqual({ status: 1, said: 'Build failed: broken compiler\n' });

    project.breakCompiler(false);
    expect(build().status).toBe(0);
    expect(workflowBundle()).toContain('the second answer');
    expect(workflowBundle()).not.toContain('the first answer');
  },
  LIMIT_MS,
);

test(
  'a build that broke off while it wrote is repeated, even when its edit is taken back',
  () => {
    expect(build().status).toBe(0);
    const compiled = join(project.root, 'dist', 'infra', 'shared.js');
    rmSync(compiled);
    mkdirSync(compiled); // cannot be written

    project.write('infra/shared.ts', `export const shared = 'shared 2';\n`);
    expect(build().status).toBe(1);
    rmSync(compiled, { recursive: true });
    project.write('infra/shared.ts', SOURCES['infra/shared.ts']);
    expect(build().status).toBe(0);
    expect(readFileSync(compiled, 'utf8')).toContain('shared 1');
  },
  LIMIT_MS,
);

test(
  'half a record of the last build, as a full disk leaves it, is repaired by the next build',
  () => {
    expect(build().status).toBe(0);
    truncateSync(join(project.root, 'dist', 'built.json'), 100);
    expect(build()).toEqual({ status: 0, said: '' });
    expect(codes().api).toBeDefined();
  },
  LIMIT_MS,
);

test(
  'an edit changes only the programs that contain the edited file, and a comment changes none',
  () => {
    expect(build().status).toBe(0);
    const before = codes();

    project.write('infra/shared.ts', `export const shared = 'shared 2';\n`);
    expect(build().status).toBe(0);
    const after = codes();
    expect(run('api/main').stdout).toBe('shared 2');
    expect(after.fal).toBe(before.fal);
    expect(after.api).not.toBe(before.api);

    project.write('infra/shared.ts', `// a comment\n\nexport const shared = 'shared 2';\n`);
    expect(build().status).toBe(0);
    expect(codes()).toEqual(after);
  },
  LIMIT_MS,
);

test(
  'a syntax error fails the build with its file and line and leaves the last build in place',
  () => {
    expect(build().status).toBe(0);

    project.write('infra/shared.ts', `export const shared = 'shared 2';\nexport const = 3;\n`);
    const { status, said } = build();
    expect(status).toBe(1);
    expect(said).toContain('infra/shared.ts:2:');
    expect(run('api/main').stdout).toBe('shared 1');

    project.write('api/main.ts', `import { missing } from './missing.js';\nprocess.stdout.write(missing);\n`);
    project.write('infra/shared.ts', SOURCES['infra/shared.ts']);
    expect(build().status).toBe(1);
    expect(run('api/main').stdout).toBe('shared 1');
  },
  LIMIT_MS,
);

test(
  'a removed source leaves no compiled file behind',
  () => {
    project.write('infra/extra.ts', 'export const extra = 1;\n');
    expect(build().status).toBe(0);
    expect(existsSync(join(project.root, 'dist', 'infra', 'extra.js'))).toBe(true);

    rmSync(join(project.root, 'infra', 'extra.ts'));
    expect(build().status).toBe(0);
    expect(existsSync(join(project.root, 'dist', 'infra', 'extra.js'))).toBe(false);
  },
  LIMIT_MS,
);

test(
  'a stack of a bundled program names the line of the source, and the error keeps the name of its class',
  () => {
    expect(build().status).toBe(0);
    const { stderr } = run('infra/simulators/fal/main');
    expect(stderr).toContain('infra/simulators/fal/main.ts:4');
    expect(stderr).toContain('OddError');
  },
  LIMIT_MS,
);
