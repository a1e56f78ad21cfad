import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createApp } from '../../api/app.js';
import type { AppDeps } from '../../api/app.js';
import { PROBLEMS } from '../../api/problems.js';
import { createOpenApiDocument } from '../../api/schemas/openapi-document.js';
import { generationViewSchema } from '../../api/schemas/generation-view.js';
import { problemDocumentSchema } from '../../api/schemas/problem-document.js';
import { templateViewSchema } from '../../api/schemas/template-view.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { FAL_WORDS } from '../../workflows/domain/fal-failure.js';
import { describeFailure, errorCodeOf, FAILURE_KINDS } from '../../workflows/domain/failure.js';
import { CARD, NOWHERE, call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

const pages = [
  ...Object.entries(PROBLEMS).map(([code, { title, remedy }]) => ({ code, title, remedy })),
  ...FAILURE_KINDS.map((kind) => ({ code: errorCodeOf(kind), ...describeFailure(kind) })),
];

const falPages = Object.entries(FAL_WORDS).map(([kind, words]) => ({ code: kind.toLowerCase(), ...words }));

describe('error pages', () => {
  test('every code has a page and every page a code', async () => {
    const files = await readdir(join(projectRoot, 'docs', 'errors'));
    expect(files.filter((name) => name !== 'README.md').sort()).toEqual(pages.map(({ code }) => `${code}.md`).sort());
  });

  test.each(pages)('the page of $code says what the answer says', async ({ code, title, remedy }) => {
    const { status, headers, text } = await call(`${api}/docs/errors/${code}`);
    expect([status, headers['content-type']]).toEqual([200, 'text/markdown; charset=utf-8']);
    expect(text.split('\n')[0]).toBe(`# ${title}`);
    expect(text).toContain(remedy);
  });

  test.each(falPages)('the page of $code says what the answer says when fal.ai is the cause', async (page) => {
    const { text } = await call(`${api}/docs/errors/${page.code}`);
    expect(text).toContain(`## ${page.title}\n`);
    expect(text).toContain(page.remedy);
  });

  test.each(['none', '..%2f..%2fpackage', 'constructor'])('there is no page %s', async (code) => {
    expect((await call(`${api}/docs/errors/${code}`)).status).toBe(404);
  });
});

describe('the OpenAPI document', () => {
  interface Operation {
    readonly operationId: string;
    readonly responses: Readonly<
      Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: unknown }>> }>
    >;
  }
  type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

  test('is 3.1 and lists exactly the routes that are answered', async () => {
    const { json } = await call(`${api}/openapi.json`);
    expect(json['openapi']).toBe('3.1.0');
    const documented = Object.entries(json['paths'] as Paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    expect(documented.sort()).toEqual(answeredRoutes().sort());
  });

  test('refers only to what it defines, and names each operation once', async () => {
    const { json, text } = await call(`${api}/openapi.json`);
    const components = json['components'] as { readonly schemas: Readonly<Record<string, unknown>> };
    for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
      expect(Object.keys(components.schemas)).toContain(name);
    }
    const operations = Object.values(json['paths'] as Paths).flatMap((path) => Object.values(path));
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const { responses } of operations) {
      for (const [status, response] of Object.entries(responses)) {
        if (Number(status) >= 400 && response.content?.['application/problem+json'] !== undefined) {
          expect(response.content['application/problem+json'].schema).toEqual({ $ref: '#/components/schemas/Problem' });
        }
      }
    }
  });

  test('every problem is a possible answer of some route', async () => {
    const { text } = await call(`${api}/openapi.json`);
    // Not tied to a route: these are answered where no route is.
    const elsewhere = ['method_not_allowed'];
    expect(Object.keys(PROBLEMS).filter((code) => !text.includes(code) && !elsewhere.includes(code))).toEqual([]);
  });

  test('answers are what it says they are', async () => {
    const accepted = await post(`${api}/v1/generations`, CARD);
    generationViewSchema.strict().parse(accepted.json);
    generationViewSchema.strict().parse((await call(`${api}${String(accepted.json['url'])}`)).json);
    templateViewSchema.strict().parse((await call(`${api}/v1/templates/test-card`)).json);
    problemDocumentSchema.strict().parse((await call(`${api}/v1/generations/x`)).json);
    problemDocumentSchema.strict().parse((await post(`${api}/v1/generations`, { template: 1 })).json);
  });
});

test('the first page leads to everything else', async () => {
  const { json } = await call(`${api}/`);
  for (const link of Object.values(json['links'] as Record<string, string>)) {
    expect((await call(`${api}${link}`)).status).toBe(200);
  }
});

test('liveness says which code runs', async () => {
  const { version } = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8')) as { version: string };
  expect((await call(`${api}/livez`)).json).toEqual({ status: 'ok', version, commit: expect.any(String) });
});

describe('readiness', () => {
  test('is ok when everything answers', async () => {
    const { status, json } = await call(`${api}/readyz`);
    expect([status, json]).toEqual([
      200,
      { status: 'ok', dependencies: { database: 'ok', objectStore: 'ok', temporal: 'ok' } },
    ]);
  });

  test('without Temporal generations are still accepted, so the service is degraded but ready', async () => {
    const { status, json } = await call(`${await setting.startApi({ TEMPORAL_ADDRESS: NOWHERE })}/readyz`);
    expect([status, json['status']]).toEqual([200, 'degraded']);
  });

  test('without database or object store the service is not ready, and says which without secrets', async () => {
    const env = { DATABASE_URL: `postgres://user:secret@${NOWHERE}/none`, S3_ENDPOINT: `http://${NOWHERE}` };
    const { status, json, text } = await call(`${await setting.startApi(env)}/readyz`);
    expect([status, json]).toEqual([
      503,
      {
        status: 'unavailable',
        dependencies: {
          database: 'does not work (ECONNREFUSED)',
          objectStore: 'does not work (ECONNREFUSED)',
          temporal: 'ok',
        },
      },
    ]);
    expect(text).not.toContain('secret');
  });
});

interface Layer {
  readonly route?: { readonly path: string; readonly methods: Readonly<Record<string, boolean>> };
  readonly handle: { readonly stack?: readonly Layer[] };
}

/** What Express really routes; `_all` is the 405 handler. */
function answeredRoutes(): string[] {
  const never = () => {
    throw new Error('No request is made');
  };
  const logger = { info: never, error: never, warn: never };
  const deps = {
    ...{ logger, origin: { host: '127.0.0.1', allowedHosts: [] }, templates: new Map() },
    openApiDocument: createOpenApiDocument('0'),
    observeRequests: never,
  };
  const app = createApp(deps as unknown as AppDeps);
  const { stack } = app.router as unknown as { readonly stack: readonly Layer[] };
  return stack
    .flatMap(({ handle }) => handle.stack ?? [])
    .flatMap(({ route }) =>
      Object.keys(route?.methods ?? {})
        .filter((method) => method !== '_all')
        .map((method) => `${method} ${(route?.path ?? '').replaceAll(/:(\w+)/g, '{$1}')}`),
    );
}
