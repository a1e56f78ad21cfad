import { Router } from 'express';
import type { Accounts } from '../accounts/accounts.js';
import { pageQueryFrom } from '../generations/list-query.js';
import { jsonBody } from '../middleware/json-body.js';
import { accountRequestSchema, entriesQuerySchema } from '../schemas/account-view.js';
import { grantRequestSchema, limitsRequestSchema } from '../schemas/account-view.js';
import { parsedBody } from '../schemas/parsed-body.js';
import { parsedQuery } from '../schemas/parsed-query.js';
import { defineRoute } from './define-route.js';

export interface AccountRoutesDeps {
  readonly accounts: Accounts;
}

/** R4.5. */
export function accountRoutes({ accounts }: AccountRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/accounts', {
    get: async (req, res) => {
      res.json(await accounts.list(pageQueryFrom(req.query)));
    },
    post: [
      jsonBody,
      async (req, res) => {
        res.json(await accounts.create(parsedBody(accountRequestSchema, req.body).id));
      },
    ],
  });
  defineRoute(router, '/v1/accounts/:id', {
    get: async (req, res) => {
      res.json(await accounts.read(String(req.params['id'])));
    },
  });
  defineRoute(router, '/v1/accounts/:id/grants', {
    post: [
      jsonBody,
      async (req, res) => {
        res.json(await accounts.grant(String(req.params['id']), parsedBody(grantRequestSchema, req.body)));
      },
    ],
  });
  defineRoute(router, '/v1/accounts/:id/limits', {
    post: [
      jsonBody,
      async (req, res) => {
        res.json(await accounts.setLimits(String(req.params['id']), parsedBody(limitsRequestSchema, req.body)));
      },
    ],
  });
  defineRoute(router, '/v1/accounts/:id/entries', {
    get: async (req, res) => {
      const { limit, before = null } = parsedQuery(entriesQuerySchema, req.query);
      res.json({ entries: await accounts.entries(String(req.params['id']), { limit, before }) });
    },
  });
  return router;
}
