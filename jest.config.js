// Test tiers, one Jest project each. docs/testing.md says which suite belongs where.
const COMFYUI = ['0.3.57', '0.8.0', '0.38.1'];
const RECORDED = '0.8.0';

/** Suites that submit, await and stop prompts. Their own tier runs them on the recorded ComfyUI, integration on the others. */
const ON_EVERY_COMFYUI = [
  'activities/await-completion',
  'activities/prompt-state',
  'activities/stop-prompt',
  'activities/submission-fence',
  'activities/submit-prompt',
  'smoke/cancelling',
];

const FAST_FOLDERS = [
  ...['activities', 'api', 'bench', 'cli', 'docs', 'domain', 'embedded', 'lint', 'postgres', 'replay', 'runtime'],
  ...['simulator', 'smoke', 'storage', 'tiers', 'workers', 'workflows'],
];

const TIERS = [
  { name: 'fast', files: FAST_FOLDERS.map((folder) => `${folder}/**/*`), comfyUI: [RECORDED] },
  {
    name: 'integration',
    files: ['integration/**/*', ...ON_EVERY_COMFYUI],
    comfyUI: COMFYUI.filter((version) => version !== RECORDED),
  },
  { name: 'chaos', files: ['chaos/**/*'], comfyUI: [RECORDED] },
  {
    name: 'nightly',
    files: ['nightly/**/*', 'chaos/cancel-anywhere'],
    comfyUI: COMFYUI.filter((version) => version !== RECORDED),
  },
];

/** @type {import('jest').Config} */
export default {
  projects: TIERS.map(({ name, files, comfyUI }) => ({
    displayName: name,
    testEnvironment: 'node',
    testMatch: files.map((file) => `<rootDir>/test/${file}.test.ts`),
    globals: { COMFYUI_VERSIONS: comfyUI },
    extensionsToTreatAsEsm: ['.ts'],
    moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
    transform: {
      '^.+\\.ts$': [
        '@swc/jest',
        { jsc: { target: 'es2023', parser: { syntax: 'typescript' } }, module: { type: 'es6' } },
      ],
    },
    modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.data'],
    globalSetup: '<rootDir>/test/support/global-setup.ts',
    globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  })),
  reporters: ['default', '<rootDir>/test/support/tier-reporter.mjs'],
  // Most tests start programs and kill them. With more files at once than cores the programs starve, and timed tests fail.
  maxWorkers: 2,
  testTimeout: 30_000,
};
