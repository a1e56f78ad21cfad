import { READS, WRITES } from './described-route.js';
import type { DescribedRoute } from './described-route.js';
import { emergencyStopAnswerSchema, emergencyStopRequestSchema, emergencyStopViewSchema } from './emergency-stop.js';

const TELLS_TEMPORAL = [...WRITES, 'temporal_unavailable'] as const;
const BODY = ['invalid_json', 'invalid_request', 'unsupported_media_type', 'body_too_large', 'unsafe_number'] as const;

export function emergencyStopRoutes(): readonly DescribedRoute[] {
  return [
    {
      method: 'get',
      path: '/v1/emergency-stop',
      operationId: 'getEmergencyStop',
      summary: 'Is the service stopped, and what was found when it was',
      answers: { '200': { description: 'The state', schema: emergencyStopViewSchema } },
      problems: READS,
    },
    {
      method: 'post',
      path: '/v1/emergency-stop',
      operationId: 'stopEverything',
      summary: 'Accept nothing, cancel everything, and report when every GPU is idle',
      body: emergencyStopRequestSchema,
      answers: {
        '200': { description: 'Everything stands still', schema: emergencyStopViewSchema },
        '202': { description: 'Under way; GET tells the rest', schema: emergencyStopViewSchema },
      },
      problems: [...TELLS_TEMPORAL, ...BODY],
    },
    {
      method: 'post',
      path: '/v1/resume',
      operationId: 'resumeService',
      summary: 'End an emergency stop',
      answers: {
        '200': { description: 'Requests are accepted', schema: emergencyStopViewSchema },
        '202': { description: 'Under way', schema: emergencyStopViewSchema },
      },
      problems: TELLS_TEMPORAL,
    },
    {
      method: 'post',
      path: '/api/error-recovery/emergency-stop',
      operationId: 'stopAllJobs',
      summary: 'Accept nothing, cancel everything, and report when every GPU is idle',
      body: emergencyStopRequestSchema,
      answers: {
        '200': { description: 'Everything stands still', schema: emergencyStopAnswerSchema },
        '202': { description: 'Under way', schema: emergencyStopAnswerSchema },
      },
      problems: [...TELLS_TEMPORAL, ...BODY],
    },
  ];
}
