import { Router } from 'express';
import type { Request, Response } from 'express';
import { ProblemError } from '../problem-error.js';
import type { TemplateView } from '../schemas/template-view.js';
import type { Template, Templates, Thumbnail } from '../templates/template.js';
import { defineRoute } from './define-route.js';

export function templateRoutes(deps: { readonly templates: Templates }): Router {
  const router = Router();
  defineRoute(router, '/v1/templates', {
    get: (_req, res) => {
      res.json({ templates: [...deps.templates.values()].map(templateView) });
    },
  });
  defineRoute(router, '/v1/templates/:name', {
    get: (req, res) => {
      res.json(templateView(templateOf(deps.templates, req)));
    },
  });
  defineRoute(router, '/v1/templates/:name/thumbnail', {
    get: (req, res) => {
      const { name, thumbnail } = templateOf(deps.templates, req);
      if (thumbnail === null) throw new ProblemError('thumbnail_not_found', `${name} has no thumbnail.`);
      sendThumbnail(thumbnail, { req, res });
    },
  });
  return router;
}

function templateOf(templates: Templates, req: Request): Template {
  const template = templates.get(String(req.params['name']));
  if (template !== undefined) return template;
  throw new ProblemError('template_not_found', `Templates: ${[...templates.keys()].join(', ')}.`);
}

/** Cached for an hour: a new one comes with a new start of the API, under the same address. */
function sendThumbnail({ mediaType, bytes, sha256 }: Thumbnail, { req, res }: { req: Request; res: Response }): void {
  const etag = `"${sha256}"`;
  res.set({ ETag: etag, 'Cache-Control': 'public, max-age=3600', 'Content-Security-Policy': 'sandbox' });
  if (req.get('If-None-Match') === etag) res.status(304).end();
  else res.type(mediaType).send(bytes);
}

function templateView({ name, manifest, thumbnail }: Template): TemplateView {
  const parameters = Object.entries(manifest.parameters).map(([parameter, { bindings: _, ...spec }]) => [
    parameter,
    { ...spec, required: spec.required ?? false },
  ]);
  return {
    name,
    url: `/v1/templates/${name}`,
    thumbnailUrl: thumbnail === null ? null : `/v1/templates/${name}/thumbnail`,
    title: manifest.title,
    description: manifest.description,
    parameters: Object.fromEntries(parameters) as TemplateView['parameters'],
    pool: manifest.pool,
    flatImages: manifest.flatImages,
    noisyImages: manifest.noisyImages,
    models: manifest.models,
    customNodes: manifest.customNodes,
    vram: manifest.vram ?? [],
    example: {
      method: 'POST',
      url: '/v1/generations',
      body: { template: name, parameters: manifest.example },
    },
  };
}
