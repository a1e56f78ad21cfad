import { z } from './openapi-zod.js';
import { READS, WRITES } from './described-route.js';
import type { DescribedRoute } from './described-route.js';
import { announcedUploadViewSchema, uploadViewSchema } from './upload-view.js';

export function uploadRoutes(): readonly DescribedRoute[] {
  return [
    {
      method: 'post',
      path: '/v1/uploads',
      operationId: 'createUpload',
      summary: 'Bring a picture, a video or a sound; it is decoded before anything uses it',
      body: z.object({ file: z.string().meta({ format: 'binary' }) }),
      bodyType: 'multipart/form-data',
      answers: {
        '201': {
          description: 'The upload; with the form, where its size alone was sent as JSON',
          schema: z.union([announcedUploadViewSchema, uploadViewSchema]),
          headers: { Location: z.string() },
        },
      },
      problems: [
        ...WRITES,
        ...(['invalid_upload', 'body_too_large', 'unsupported_media_type', 'storage_unavailable'] as const),
        ...(['invalid_json', 'invalid_request', 'unsafe_number', 'download_links_disabled'] as const),
      ],
    },
    {
      method: 'post',
      path: '/v1/uploads/{id}/complete',
      operationId: 'completeUpload',
      summary: 'Look at a file that was sent to the object store itself',
      params: { id: z.string() },
      answers: { '200': { description: 'The upload', schema: uploadViewSchema } },
      problems: [...WRITES, ...(['upload_not_found', 'invalid_upload', 'storage_unavailable'] as const)],
    },
    {
      method: 'get',
      path: '/v1/uploads/{id}',
      operationId: 'getUpload',
      summary: 'Read what an upload is',
      params: { id: z.string() },
      answers: { '200': { description: 'The upload', schema: uploadViewSchema } },
      problems: [...READS, 'upload_not_found'],
    },
  ];
}
