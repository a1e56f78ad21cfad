import { z } from 'zod';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { NotComfyUIError } from '../../activities/comfyui/errors.js';
import type { Template } from '../../api/templates/template.js';
import { bindExample } from './bind-example.js';
import { chosenTemplates } from './chosen-templates.js';
import { CliError } from './cli-error.js';
import { withComfyUIAt } from './comfyui-at.js';
import { optionOf, parseCommandLine } from './command-line.js';
import { missingParts, modelFilesOf } from './missing-parts.js';
import type { Terminal } from './terminal.js';

const USAGE = 'npm run templates:check -- --url http://127.0.0.1:8188 [--template name …]';
const PATH = '/api/object_info';
/** It runs code of custom nodes. */
const OBJECT_INFO_MS = 60_000;

/** Says of every template what a ComfyUI lacks, and where to get it. Answers 1 when anything is missing. */
export async function checkCommand(args: readonly string[], { env, say }: Terminal): Promise<number> {
  const line = parseCommandLine(args, { known: ['url', 'template'], usage: USAGE });
  const url = optionOf(line, 'url');
  if (url === null) throw new CliError(`--url is missing: the address of the ComfyUI to check\nUsage: ${USAGE}`);
  const templates = await chosenTemplates(env, line.options['template'] ?? []);
  const objectInfo = await withComfyUIAt(url, objectInfoOf);
  const incomplete = templates.filter((template) => {
    const { missing, unseen } = verdictOn(template, objectInfo);
    say(`${template.name}: ${missing.length === 0 ? 'ok' : `${missing.length} missing`}`);
    for (const part of missing) say(`  ${part}`);
    for (const part of unseen) say(`  not shown by ComfyUI: ${part}`);
    return missing.length > 0;
  });
  say(`${templates.length - incomplete.length} of ${templates.length} templates can run on ${new URL(url).host}`);
  return incomplete.length === 0 ? 0 : 1;
}

async function objectInfoOf(client: ComfyUIClient): Promise<Readonly<Record<string, unknown>>> {
  const info = await client.http.json({ path: PATH, signal: undefined, totalMs: OBJECT_INFO_MS });
  const parsed = z.record(z.string(), z.unknown()).safeParse(info).data;
  if (parsed !== undefined) return parsed;
  throw new NotComfyUIError(`${client.address.label} does not answer ${PATH} as ComfyUI does`);
}

/** `unseen`: model files that no input names, because a custom node finds them by itself. */
function verdictOn(template: Template, objectInfo: Readonly<Record<string, unknown>>) {
  const { asked, graph } = bindExample(template, new Map());
  const models = modelFilesOf(template.manifest, asked);
  const named = Object.values(graph).flatMap(({ inputs }) => Object.values(inputs));
  const unseen = models
    .filter(({ name }) => !named.includes(name))
    .map(({ folder, name, url }) => `models/${folder}/${name}${url === null ? '' : `, from ${url}`}`);
  return { missing: missingParts({ template, graph, models }, objectInfo), unseen };
}
