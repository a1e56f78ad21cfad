import { OpenAPIRegistry, OpenApiGeneratorV31 } from '@asteasolutions/zod-to-openapi';
import { backendViewSchema } from './backend-view.js';
import { generationRequestSchema } from './generation-request.js';
import { generationViewSchema } from './generation-view.js';
import { describedRoutes } from './described-routes.js';
import type { DescribedRoute } from './described-route.js';
import { z } from './openapi-zod.js';
import { codesOfStatus, problemDocumentSchema } from './problem-document.js';
import { templateViewSchema } from './template-view.js';

export type OpenApiDocument = ReturnType<OpenApiGeneratorV31['generateDocument']>;

/** The OpenAPI 3.1 document, made from the schemas that requests and answers are written with. */
export function createOpenApiDocument(version: string): OpenApiDocument {
  const registry = new OpenAPIRegistry();
  const schemas = {
    GenerationRequest: registry.register('GenerationRequest', generationRequestSchema),
    Generation: registry.register('Generation', generationViewSchema),
    Template: registry.register('Template', templateViewSchema),
    Backend: registry.register('Backend', backendViewSchema),
    Problem: registry.register('Problem', problemDocumentSchema),
  };
  for (const route of describedRoutes(schemas)) register(registry, route, schemas.Problem);
  return new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: '3.1.0',
    info: {
      title: 'durable-comfy',
      version,
      description:
        'Durable ComfyUI generation: every request ends in a stored, checked result or in a failure that says why.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
  });
}

function register(registry: OpenAPIRegistry, route: DescribedRoute, problem: z.ZodType): void {
  const successes = Object.entries(route.answers).map(([status, answer]) => [
    status,
    {
      description: answer.description,
      ...(answer.headers !== undefined && { headers: z.object(answer.headers) }),
      ...(answer.schema !== undefined && {
        content: { [answer.mediaType ?? 'application/json']: { schema: answer.schema } },
      }),
    },
  ]);
  const problems = [...codesOfStatus(route.problems)].map(([status, codes]) => [
    String(status),
    { description: codes.join(', '), content: { 'application/problem+json': { schema: problem } } },
  ]);
  const { method, path, summary, operationId, query, params, headers, body, bodyType = 'application/json' } = route;
  registry.registerPath({
    method,
    path,
    summary,
    operationId,
    request: {
      ...(params !== undefined && { params: z.object(params) }),
      ...(query !== undefined && { query }),
      ...(headers !== undefined && { headers: z.object(headers) }),
      ...(body !== undefined && { body: { required: true, content: { [bodyType]: { schema: body } } } }),
    },
    responses: Object.fromEntries([...successes, ...problems]) as Parameters<
      OpenAPIRegistry['registerPath']
    >[0]['responses'],
  });
}
