import { z } from './openapi-zod.js';
import { accountPageSchema, accountRequestSchema, accountViewSchema, creditEntryViewSchema } from './account-view.js';
import { grantRequestSchema, limitsRequestSchema } from './account-view.js';
import { READS, WRITES } from './described-route.js';
import type { DescribedRoute } from './described-route.js';

const BODY = ['invalid_json', 'invalid_request', 'unsupported_media_type', 'body_too_large', 'unsafe_number'] as const;
const ACCOUNT = { '200': { description: 'The account', schema: accountViewSchema } };
const id = { id: z.string() };

export function accountRoutes(): readonly DescribedRoute[] {
  return [
    {
      method: 'post',
      path: '/v1/accounts',
      operationId: 'createAccount',
      summary: 'Create an account, or read the one that exists',
      body: accountRequestSchema,
      answers: ACCOUNT,
      problems: [...WRITES, ...BODY],
    },
    {
      method: 'get',
      path: '/v1/accounts',
      operationId: 'listAccounts',
      summary: 'List accounts, newest first',
      query: z.object({
        limit: z.int().min(1).max(100).optional(),
        cursor: z.string().optional().describe('nextCursor of the page before.'),
      }),
      answers: { '200': { description: 'One page', schema: accountPageSchema } },
      problems: [...READS, 'invalid_query'],
    },
    {
      method: 'get',
      path: '/v1/accounts/{id}',
      operationId: 'getAccount',
      summary: 'What an account can spend',
      params: id,
      answers: ACCOUNT,
      problems: [...READS, 'account_not_found'],
    },
    ...ofOne(),
  ];
}

function ofOne(): readonly DescribedRoute[] {
  return [
    {
      method: 'post',
      path: '/v1/accounts/{id}/grants',
      operationId: 'grantCredits',
      summary: 'Give credits to an account, once for each reference',
      params: id,
      body: grantRequestSchema,
      answers: ACCOUNT,
      problems: [...WRITES, ...BODY, 'account_not_found', 'grant_mismatch'],
    },
    {
      method: 'post',
      path: '/v1/accounts/{id}/limits',
      operationId: 'setAccountLimits',
      summary: 'What an account may use; null: as the service is configured',
      params: id,
      body: limitsRequestSchema,
      answers: ACCOUNT,
      problems: [...WRITES, ...BODY, 'account_not_found'],
    },
    {
      method: 'get',
      path: '/v1/accounts/{id}/entries',
      operationId: 'listCreditEntries',
      summary: 'What happened to the credits of an account, newest first',
      params: id,
      query: z.object({ limit: z.int().min(1).max(1_000).optional(), before: z.int().min(1).optional() }),
      answers: { '200': { description: 'The entries', schema: z.object({ entries: z.array(creditEntryViewSchema) }) } },
      problems: [...READS, 'account_not_found', 'invalid_query'],
    },
  ];
}
