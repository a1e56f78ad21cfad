import { join, resolve } from 'node:path';
import { loadTemplates } from '../../api/templates/load-templates.js';
import type { Template } from '../../api/templates/template.js';
import { stringFrom } from '../../infra/runtime/env.js';
import type { Env } from '../../infra/runtime/env.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { CliError } from './cli-error.js';

/** The templates of these names, or all: the project's and those of `TEMPLATES_DIR`. */
export async function chosenTemplates(env: Env, names: readonly string[]): Promise<readonly Template[]> {
  const templates = await loadTemplates(join(projectRoot, 'comfy-workflows'), ...ownFoldersOf(env));
  const unknown = names.filter((name) => !templates.has(name));
  if (unknown.length > 0) {
    throw new CliError(`There is no template ${unknown.join(', ')}; there are ${[...templates.keys()].join(', ')}`);
  }
  return [...templates.values()].filter(({ name }) => names.length === 0 || names.includes(name));
}

/** Folders of the operators' own templates, as the API reads them. */
export function ownFoldersOf(env: Env): readonly string[] {
  const entries = stringFrom(env, 'TEMPLATES_DIR', '').split(',');
  const folders = entries.map((entry) => entry.trim()).filter((entry) => entry !== '');
  return folders.map((folder) => resolve(projectRoot, folder));
}
