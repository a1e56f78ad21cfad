import tseslint from 'typescript-eslint';
import importX from 'eslint-plugin-import-x';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import { builtinModules } from 'node:module';

/** Node's built-ins, with and without `node:`; `assert` is the one Temporal's sandbox provides. */
const nodeBuiltins = builtinModules
  .filter((name) => !name.startsWith('_') && name !== 'assert' && !name.startsWith('assert/'))
  .flatMap((name) => [name, `node:${name.replace(/^node:/, '')}`]);
const worldPackages = [
  ...['undici', 'ws', 'pg', 'kysely', 'minio', 'express', 'sharp', 'pino', 'zod'],
  ...['activity', 'client', 'worker', 'testing', 'envconfig'].map((name) => `@temporalio/${name}`),
];

const top = (...folders) => folders.map((folder) => `**/${folder}/**`);
const bound = (group, message, allowTypeImports = false) => ({ group, message, allowTypeImports });
const restrict = (patterns, paths = []) => ({
  '@typescript-eslint/no-restricted-imports': ['error', { patterns, paths }],
});
const noWorld = (rule) =>
  [...nodeBuiltins, ...worldPackages].map((name) => ({ name, message: `[${rule}] cannot reach the world` }));

/** Composition roots read the environment once and pass values on ([BOUND5]). */
const compositionRoots = ['**/main.ts', 'eslint.config.js', 'scripts/**', 'test/**'];

export default tseslint.config(
  { ignores: ['dist', 'node_modules', '.data', 'coverage', 'test/lint/violations'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked, tseslint.configs.stylisticTypeChecked],
    plugins: { 'import-x': importX },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    settings: {
      'import-x/resolver-next': [createTypeScriptImportResolver()],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/prefer-nullish-coalescing': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/only-throw-error': 'off', // the bridge to Temporal throws what it was given (toApplicationFailure)
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      'import-x/no-cycle': ['error', { ignoreExternal: true }], // [BOUND6]
      'import-x/no-default-export': 'error',
      'no-console': 'error',
      'no-else-return': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      'max-params': ['error', 3],
      'no-restricted-syntax': [
        'error',
        { selector: 'TSEnumDeclaration', message: 'A union of string literals, not an enum' },
        {
          selector:
            "CallExpression[callee.object.name='AbortSignal'][callee.property.name='any'] CallExpression[callee.property.name='timeout']",
          message: 'Node may collect that timeout, which then never fires: abortAfter() of infra/runtime holds it',
        },
      ],
    },
  },
  {
    files: ['**/*.ts'],
    ignores: compositionRoots,
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: '[BOUND5] process.env is read in composition roots' },
      ],
    },
  },
  {
    files: ['workflows/**/*.ts'],
    rules: restrict(
      [
        bound(top('api', 'workers', 'infra'), '[BOUND1] workflows import only workflows'),
        bound(top('activities'), '[BOUND1] activities only as import type', true),
      ],
      noWorld('BOUND1'),
    ),
  },
  {
    files: ['workflows/domain/**/*.ts'],
    rules: {
      ...restrict(
        [bound(['../*', '@temporalio/*', '!./*'], '[BOUND2] domain imports only its siblings')],
        noWorld('BOUND2'),
      ),
      'no-restricted-globals': [
        'error',
        ...[
          'Date',
          'process',
          'Buffer',
          'fetch',
          'setTimeout',
          'setInterval',
          'setImmediate',
          'performance',
          'crypto',
        ].map((name) => ({
          name,
          message: '[BOUND2] domain is pure: no clock, no randomness, no I/O',
        })),
      ],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random', message: '[BOUND2] domain is pure' }],
    },
  },
  {
    files: ['activities/**/*.ts'],
    rules: restrict([
      bound(top('api', 'workers'), '[BOUND3] activities never import api or workers'),
      bound(['**/workflows/*.js', '**/workflows/index.js'], '[BOUND3] activities never import a workflow function'),
    ]),
  },
  {
    files: ['api/routes/**/*.ts'],
    rules: restrict([
      bound(top('activities', 'workers', 'infra'), '[BOUND4] routes know contracts, domain and their own deps', true),
      bound(['**/workflows/*.js'], '[BOUND4] workflow functions only as import type', true),
    ]),
  },
  {
    files: ['workers/**/*.ts'],
    rules: restrict([
      bound(top('api'), 'workers and API are doors of their own: they meet in Temporal and the database'),
    ]),
  },
  {
    files: ['cli/**/*.ts'],
    rules: restrict([
      bound(top('workers'), 'the command is no worker'),
      bound(['**/api/routes/**', '**/api/*.js'], 'the command knows what the API knows of templates, not its door'),
      bound(['**/workflows/*.js'], 'the command never imports a workflow function'),
    ]),
  },
  {
    files: ['infra/**/*.ts'],
    ignores: ['infra/embedded/**'],
    rules: restrict([
      bound(top('api', 'workers', 'activities'), 'infra knows machines, not generations'),
      bound(top('workflows'), 'infra knows generations only as types (the rows it stores)', true),
    ]),
  },
  {
    files: ['test/**/*.ts'],
    rules: { 'max-lines-per-function': 'off', 'max-lines': 'off' },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly' } },
  },
);
