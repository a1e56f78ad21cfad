import { z } from './openapi-zod.js';
import { readinessViewSchema } from './readiness-view.js';
import { statisticsViewSchema } from './statistics-view.js';
import { backendCommandSchema, quarantineRequestSchema } from './backend-view.js';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';
import { EVERYWHERE, READS, WRITES, id } from './described-route.js';
import type { DescribedRoute } from './described-route.js';
import { accountRoutes } from './described-accounts.js';
import { batchRoutes } from './described-batches.js';
import { uploadRoutes } from './described-uploads.js';
import { emergencyStopRoutes } from './described-emergency-stop.js';
import { outputRoutes } from './described-outputs.js';
import { errorRecoveryRoutes } from './described-error-recovery.js';

interface Schemas {
  readonly GenerationRequest: z.ZodType;
  readonly Generation: z.ZodType;
  readonly Template: z.ZodType;
  readonly Backend: z.ZodType;
}

export function describedRoutes(schemas: Schemas): readonly DescribedRoute[] {
  return [
    ...creationRoutes(schemas),
    ...generationRoutes(schemas),
    ...commandRoutes(schemas),
    ...batchRoutes(schemas),
    ...outputRoutes(),
    ...errorRecoveryRoutes(),
    ...emergencyStopRoutes(),
    ...accountRoutes(),
    ...uploadRoutes(),
    ...catalogueRoutes(schemas),
    ...serviceRoutes(),
  ];
}

function creationRoutes({ Generation, GenerationRequest }: Schemas): readonly DescribedRoute[] {
  return [
    {
      method: 'post',
      path: '/v1/generations',
      operationId: 'createGeneration',
      summary: 'Accept a generation; it is durable once this answers',
      headers: {
        'Idempotency-Key': z.string().min(1).max(255).optional(),
        Prefer: z.string().optional().describe('wait=N: wait up to N seconds for the end; more than 60 counts as 60.'),
      },
      body: GenerationRequest,
      answers: {
        '202': { description: 'Accepted', schema: Generation, headers: { Location: z.string() } },
        '200': { description: 'Ended within the seconds of Prefer: wait', schema: Generation },
      },
      problems: [
        ...WRITES,
        ...(['invalid_json', 'invalid_idempotency_key', 'unsupported_media_type', 'body_too_large'] as const),
        ...(['invalid_request', 'unknown_template', 'invalid_parameters', 'invalid_graph'] as const),
        ...(['graph_in_ui_format', 'graph_link_dangling', 'node_class_unknown', 'unsafe_number'] as const),
        ...(['input_unusable', 'input_gone'] as const),
        ...(['graphs_disabled', 'graph_refused', 'will_not_fit'] as const),
        ...([
          'idempotency_in_flight',
          'idempotency_mismatch',
          'storage_unavailable',
          'queue_full',
          'account_queue_full',
          'priority_not_allowed',
          'service_stopped',
        ] as const),
      ],
    },
  ];
}

function generationRoutes({ Generation }: Schemas): readonly DescribedRoute[] {
  return [
    {
      method: 'get',
      path: '/v1/generations',
      operationId: 'listGenerations',
      summary: 'List generations, newest first',
      query: z.object({
        limit: z.int().min(1).max(100).optional(),
        cursor: z.string().optional().describe('nextCursor of the page before.'),
        status: z
          .string()
          .optional()
          .describe(`Comma list of ${GENERATION_STATUSES.join(', ')}.`),
        template: z.string().optional(),
      }),
      answers: {
        '200': {
          description: 'One page',
          schema: z.object({ generations: z.array(Generation), nextCursor: z.string().nullable() }),
        },
      },
      problems: [...READS, 'invalid_query'],
    },
    {
      method: 'get',
      path: '/v1/generations/{id}',
      operationId: 'getGeneration',
      summary: 'Read one generation',
      params: id,
      answers: { '200': { description: 'The generation', schema: Generation } },
      problems: [...READS, 'generation_not_found'],
    },
  ];
}

function commandRoutes({ Generation }: Schemas): readonly DescribedRoute[] {
  return [
    {
      method: 'post',
      path: '/v1/generations/{id}/cancel',
      operationId: 'cancelGeneration',
      summary: 'Cancel a generation; repeating it changes nothing',
      params: id,
      answers: {
        '202': { description: 'The cancel is recorded and will be carried out', schema: Generation },
        '200': { description: 'The generation has ended', schema: Generation },
      },
      problems: [...WRITES, 'generation_not_found'],
    },
    {
      method: 'post',
      path: '/v1/generations/{id}/retry',
      operationId: 'retryGeneration',
      summary: 'Accept the same once more, as a new generation, after one has ended without a result',
      params: id,
      headers: { 'Idempotency-Key': z.string().min(1).max(255).optional() },
      answers: { '202': { description: 'Accepted', schema: Generation, headers: { Location: z.string() } } },
      problems: [
        ...WRITES,
        ...(['generation_not_found', 'generation_not_failed', 'invalid_idempotency_key'] as const),
        ...(['graphs_disabled', 'graph_refused', 'storage_unavailable'] as const),
        ...(['idempotency_in_flight', 'idempotency_mismatch', 'service_stopped'] as const),
        ...(['queue_full', 'account_queue_full'] as const),
        ...(['insufficient_credits', 'unknown_account', 'input_gone'] as const),
      ],
    },
  ];
}

function catalogueRoutes({ Template, Backend }: Schemas): readonly DescribedRoute[] {
  return [
    {
      method: 'get',
      path: '/v1/templates',
      operationId: 'listTemplates',
      summary: 'List templates with their parameters',
      answers: { '200': { description: 'All templates', schema: z.object({ templates: z.array(Template) }) } },
      problems: EVERYWHERE,
    },
    {
      method: 'get',
      path: '/v1/templates/{name}',
      operationId: 'getTemplate',
      summary: 'Read one template',
      params: { name: z.string() },
      answers: { '200': { description: 'The template', schema: Template } },
      problems: [...EVERYWHERE, 'template_not_found'],
    },
    {
      method: 'get',
      path: '/v1/templates/{name}/thumbnail',
      operationId: 'getTemplateThumbnail',
      summary: 'Fetch a small picture of what a template makes; takes If-None-Match',
      params: { name: z.string() },
      answers: {
        '200': { description: 'The picture', schema: z.string(), mediaType: 'image/*' },
        '304': { description: 'The caller has it already' },
      },
      problems: [...EVERYWHERE, 'template_not_found', 'thumbnail_not_found'],
    },
    {
      method: 'get',
      path: '/v1/backends',
      operationId: 'listBackends',
      summary: 'List the ComfyUI servers that GPU workers report',
      answers: { '200': { description: 'All backends', schema: z.object({ backends: z.array(Backend) }) } },
      problems: [...EVERYWHERE, 'storage_unavailable'],
    },
    {
      method: 'get',
      path: '/v1/statistics',
      operationId: 'getStatistics',
      summary: 'What became of the generations of the last hours, and how their failures were recovered from',
      query: z.object({ hours: z.int().min(1).max(8_760).optional().describe('24 unless told.') }),
      answers: { '200': { description: 'The statistics', schema: statisticsViewSchema } },
      problems: [...READS, 'invalid_query', 'statistics_disabled'],
    },
    backendCommand('drain', 'Let what runs on a backend end and start nothing new; repeating it changes nothing'),
    backendCommand('resume', 'End a drain or a quarantine; repeating it changes nothing'),
    quarantineRoute,
  ];
}

function backendCommand(command: 'drain' | 'resume' | 'quarantine', summary: string): DescribedRoute {
  return {
    method: 'post',
    path: `/v1/backends/{id}/${command}`,
    operationId: `${command}Backend`,
    summary,
    params: { id: z.string() },
    answers: { '202': { description: 'The backend is told', schema: backendCommandSchema } },
    problems: [
      ...EVERYWHERE,
      ...(['cross_site_refused', 'backend_not_found', 'temporal_unavailable', 'storage_unavailable'] as const),
    ],
  };
}

const quarantineRoute: DescribedRoute = {
  ...backendCommand('quarantine', 'Submit nothing to a backend until its ComfyUI was restarted, or it is resumed'),
  body: quarantineRequestSchema,
  problems: [
    ...backendCommand('quarantine', '').problems,
    ...(['invalid_json', 'invalid_request', 'unsupported_media_type', 'body_too_large', 'unsafe_number'] as const),
  ],
};

const metricsRoute: DescribedRoute = {
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  summary: 'Figures of the service and of this process, for Prometheus',
  answers: {
    '200': { description: "Prometheus' text format", schema: z.string(), mediaType: 'text/plain' },
  },
  problems: EVERYWHERE,
};

function serviceRoutes(): readonly DescribedRoute[] {
  return [
    {
      method: 'get',
      path: '/',
      operationId: 'getIndex',
      summary: 'Where to find what',
      answers: { '200': { description: 'Links', schema: z.object({ links: z.record(z.string(), z.string()) }) } },
      problems: EVERYWHERE,
    },
    {
      method: 'get',
      path: '/livez',
      operationId: 'getLiveness',
      summary: 'Is the process alive, and which code is it',
      answers: {
        '200': {
          description: 'Alive',
          schema: z.object({ status: z.literal('ok'), version: z.string(), commit: z.string() }),
        },
      },
      problems: EVERYWHERE,
    },
    {
      method: 'get',
      path: '/readyz',
      operationId: 'getReadiness',
      summary: 'Can this process do its work, and are generations accepted',
      answers: {
        '200': { description: 'Ready; `status` says whether requests are accepted', schema: readinessViewSchema },
        '503': { description: 'Database or object store is away', schema: readinessViewSchema },
      },
      problems: EVERYWHERE,
    },
    metricsRoute,
    {
      method: 'get',
      path: '/openapi.json',
      operationId: 'getOpenApiDocument',
      summary: 'This document',
      answers: { '200': { description: 'OpenAPI 3.1', schema: z.record(z.string(), z.unknown()) } },
      problems: EVERYWHERE,
    },
    {
      method: 'get',
      path: '/docs/errors/{code}',
      operationId: 'getErrorPage',
      summary: 'Read what a code means and what to do',
      params: { code: z.string() },
      answers: { '200': { description: 'The page', schema: z.string(), mediaType: 'text/markdown' } },
      problems: [...EVERYWHERE, 'route_not_found'],
    },
  ];
}
