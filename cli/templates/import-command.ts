import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadTemplates } from '../../api/templates/load-templates.js';
import { apiGraphSchema } from '../../api/schemas/api-graph.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { ownFoldersOf } from './chosen-templates.js';
import { CliError } from './cli-error.js';
import { optionOf, parseCommandLine } from './command-line.js';
import { proposeManifest } from './propose-manifest.js';
import type { Terminal } from './terminal.js';

const USAGE = 'npm run templates:import -- graph.json --name my-template [--folder folder]';
const EXPORT =
  'In ComfyUI choose Workflow → Export (API); in older versions switch "Enable Dev mode Options" on and choose "Save (API Format)".';

/** Makes a template of somebody's graph, in a folder of their own; what is there already is never touched. */
export async function importCommand(args: readonly string[], { env, say }: Terminal): Promise<number> {
  const line = parseCommandLine(args, { known: ['name', 'folder'], usage: USAGE });
  const [file] = line.positionals;
  const name = optionOf(line, 'name');
  if (file === undefined || line.positionals.length > 1)
    throw new CliError(`One graph.json must be named\nUsage: ${USAGE}`);
  if (name === null || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
    throw new CliError(`--name must be lower case words joined by "-"\nUsage: ${USAGE}`);
  }
  const folder = folderFrom(optionOf(line, 'folder'), ownFoldersOf(env));
  const text = await readText(file);
  const manifest = proposeManifest(name, graphFrom(file, text));
  const files = { 'graph.json': text, 'template.json': `${JSON.stringify(manifest, null, 2)}\n` };
  await writeTemplate({ folder, name, files });
  say(
    `${join(folder, name)}: graph.json and template.json with ${Object.keys(manifest['parameters'] ?? {}).join(', ')}`,
  );
  say('Look at the ranges and descriptions in template.json; then npm run templates:check -- --url <ComfyUI>.');
  if (!ownFoldersOf(env).includes(folder))
    say(`Start the API with TEMPLATES_DIR=${folder}, so that it finds the template.`);
  return 0;
}

function folderFrom(given: string | null, own: readonly string[]): string {
  const folder = given === null ? own[0] : resolve(given);
  if (folder !== undefined) return folder;
  throw new CliError('There is no folder for it: set TEMPLATES_DIR to a folder of your own, or name one with --folder');
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function graphFrom(file: string, text: string): ApiGraph {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new CliError(`${file} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof document === 'object' && document !== null && 'nodes' in document && Array.isArray(document.nodes)) {
    throw new CliError(`${file} is in ComfyUI's UI format, which cannot be submitted. ${EXPORT}`);
  }
  const parsed = apiGraphSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CliError(
    `${file} is no graph in API format: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}. ${EXPORT}`,
  );
}

/** Checked as the API checks it before anything is written to the folder. */
async function writeTemplate({
  folder,
  name,
  files,
}: {
  readonly folder: string;
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
}): Promise<void> {
  const draft = await mkdtemp(join(tmpdir(), 'template-import-'));
  try {
    await mkdir(join(draft, name));
    for (const [file, text] of Object.entries(files)) await writeFile(join(draft, name, file), text);
    await loadTemplates(draft);
    await refuseTaken(folder, name);
    await mkdir(folder, { recursive: true });
    await cp(join(draft, name), join(folder, name), { recursive: true, force: false, errorOnExist: true });
  } finally {
    await rm(draft, { recursive: true });
  }
}

async function refuseTaken(folder: string, name: string): Promise<void> {
  for (const place of [join(projectRoot, 'comfy-workflows', name), join(folder, name)]) {
    const isTaken = await readFile(join(place, 'template.json')).then(
      () => true,
      () => false,
    );
    if (isTaken) throw new CliError(`There is a template ${name} already, in ${place}; choose another --name`);
  }
}
