import { Router } from 'express';
import { ProblemError } from '../problem-error.js';
import type { TemplateView } from '../schemas/template-view.js';
import type { Template, Templates } from '../templates/template.js';
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
      const template = deps.templates.get(String(req.params['name']));
      if (template === undefined) {
        throw new ProblemError('template_not_found', `Templates: ${[...deps.templates.keys()].join(', ')}.`);
      }
      res.json(templateView(template));
    },
  });
  return router;
}

function templateView({ name, manifest }: Template): TemplateView {
  const parameters = Object.entries(manifest.parameters).map(([parameter, { bindings: _, ...spec }]) => [
    parameter,
    { ...spec, required: spec.required ?? false },
  ]);
  return {
    name,
    url: `/v1/templates/${name}`,
    title: manifest.title,
    description: manifest.description,
    parameters: Object.fromEntries(parameters) as TemplateView['parameters'],
    pool: manifest.pool,
    flatImages: manifest.flatImages,
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
