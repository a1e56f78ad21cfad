import { deliveryQuerySchema } from '../outputs/delivery-query.js';
import { READS, id } from './described-route.js';
import type { DescribedRoute } from './described-route.js';
import { z } from './openapi-zod.js';

/** What happens to a generation, and what comes of it. */
export function outputRoutes(): readonly DescribedRoute[] {
  return [
    {
      method: 'get',
      path: '/v1/generations/{id}/events',
      operationId: 'streamGenerationEvents',
      summary: 'Follow a generation by Server-Sent Events',
      params: id,
      query: z.object({ after: z.int().min(0).optional().describe('As Last-Event-ID.') }),
      headers: { 'Last-Event-ID': z.string().optional() },
      answers: {
        '200': { description: 'Events until the end', schema: z.string(), mediaType: 'text/event-stream' },
        '204': { description: 'The generation has ended and there is nothing to replay' },
      },
      problems: [...READS, 'generation_not_found', 'invalid_query', 'too_many_streams'],
    },
    {
      method: 'get',
      path: '/v1/generations/{id}/outputs/{index}',
      operationId: 'getGenerationOutput',
      summary: 'Fetch one result; takes Range, If-Range and If-None-Match',
      params: { ...id, index: z.int().min(0) },
      query: deliveryQuerySchema,
      headers: { Range: z.string().optional(), 'If-None-Match': z.string().optional() },
      answers: {
        '302': { description: 'The file is at Location, in the object store', headers: { Location: z.string() } },
        '200': { description: 'The file', schema: z.string(), mediaType: '*/*' },
        '206': { description: 'A part of the file', schema: z.string(), mediaType: '*/*' },
        '304': { description: 'The caller has the file already' },
      },
      problems: [
        ...READS,
        ...(['generation_not_found', 'output_not_found', 'output_gone'] as const),
        ...(['invalid_query', 'range_not_satisfiable', 'storage_unavailable'] as const),
      ],
    },
    {
      method: 'get',
      path: '/v1/generations/{id}/outputs/{index}/link',
      operationId: 'getGenerationOutputLink',
      summary: 'Read an address in the object store by which one result can be fetched for a few minutes',
      params: { ...id, index: z.int().min(0) },
      query: deliveryQuerySchema.pick({ filename: true }),
      answers: {
        '200': {
          description: 'The address',
          schema: z.object({ url: z.url(), expiresAt: z.iso.datetime() }),
          headers: { 'Cache-Control': z.literal('no-store') },
        },
      },
      problems: [
        ...READS,
        ...(['generation_not_found', 'output_not_found', 'output_gone'] as const),
        ...(['invalid_query', 'download_links_disabled', 'storage_unavailable'] as const),
      ],
    },
  ];
}
