import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { danglingLinks } from '../../workflows/domain/graph.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { apiGraphSchema } from '../schemas/api-graph.js';
import { checkParameters } from './check-parameters.js';
import { templateManifest } from './template-manifest.js';
import type { ParameterSpec, TemplateManifest } from './template-manifest.js';
import { thumbnailIn } from './read-thumbnail.js';
import type { Template, Templates } from './template.js';
import { TemplateError } from './template-error.js';

/** Reads every template of these folders; one that is wrong stops the start, because a caller would find it later. */
export async function loadTemplates(...folders: readonly string[]): Promise<Templates> {
  const templates = new Map<string, Template>();
  for (const folder of folders) {
    for (const name of await namesIn(folder)) {
      if (templates.has(name)) throw new TemplateError(`${join(folder, name)}: there is another template of this name`);
      templates.set(name, await loadTemplate(folder, name));
    }
  }
  return templates;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    return names.sort();
  } catch (error) {
    throw new TemplateError(`${folder} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function loadTemplate(folder: string, name: string): Promise<Template> {
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
    throw new TemplateError(`${join(folder, name)}: the name of a template is kebab-case`);
  }
  const graphFile = join(folder, name, 'graph.json');
  const manifestFile = join(folder, name, 'template.json');
  const graph: ApiGraph = await parsedFile(graphFile, apiGraphSchema);
  const manifest = await parsedFile(manifestFile, templateManifest);
  const complaints = [
    ...danglingLinks(graph).map(({ node, input }) => `${graphFile}: ${node}.inputs.${input} is linked to no node`),
    ...complaintsAbout(manifest, graph).map((complaint) => `${manifestFile}: ${complaint}`),
  ];
  if (complaints.length > 0) throw new TemplateError(complaints.join('\n'));
  return { name, folder: join(folder, name), manifest, graph, thumbnail: await thumbnailIn(join(folder, name)) };
}

async function parsedFile<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await jsonOf(file));
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map(({ path, message }) => `${file}: ${path.join('.')}: ${message}`);
  throw new TemplateError(lines.join('\n'));
}

async function jsonOf(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as unknown;
  } catch (error) {
    throw new TemplateError(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function complaintsAbout(manifest: TemplateManifest, graph: ApiGraph): readonly string[] {
  const fromParameters = Object.entries(manifest.parameters).flatMap(([name, spec]) => [
    ...complaintsAboutSpec(spec).map((complaint) => `parameters.${name}: ${complaint}`),
    ...spec.bindings
      .filter(({ node, input }) => graph[node] === undefined || !Object.hasOwn(graph[node].inputs, input))
      .map(({ node, input }) => `parameters.${name}.bindings: graph.json has no node "${node}" with input "${input}"`),
  ]);
  const outputs = manifest.outputs.filter((node) => graph[node] === undefined);
  const references = [...expectedParameters(manifest), ...modelParameters(manifest), ...falParameters(manifest)];
  return [
    ...fromParameters,
    ...outputs.map((node) => `outputs: graph.json has no node "${node}"`),
    ...references
      .filter(([, parameter]) => !isKnown(manifest, parameter))
      .map(([field, parameter]) => `${field}: there is no parameter "${parameter}"`),
    ...complaintsAboutFace(manifest),
    ...vramParameters(manifest)
      .filter(([, parameter]) => !isMeasured(manifest, parameter))
      .map(
        ([field, parameter]) =>
          `${field}: there is no parameter "${parameter}" that is a number, nor a length of a file`,
      ),
    ...checkParameters(manifest.parameters, manifest.example).places.map(
      ({ pointer, message }) => `example${pointer}: ${message}`,
    ),
  ];
}

/** A parameter, or a length of a file: `image.width`. */
function isKnown({ parameters }: TemplateManifest, reference: string): boolean {
  const [, name = reference, length] = /^(.+)\.(width|height|seconds|sound)$/.exec(reference) ?? [];
  const spec = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
  if (spec === undefined || length === undefined) return spec !== undefined;
  if (length === 'sound') return spec.type === 'video';
  return (length === 'seconds' ? ['video', 'audio'] : ['image', 'mask', 'video']).includes(spec.type);
}

function isMeasured(manifest: TemplateManifest, reference: string): boolean {
  const spec = Object.hasOwn(manifest.parameters, reference) ? manifest.parameters[reference] : undefined;
  return spec === undefined ? isKnown(manifest, reference) : ['integer', 'number'].includes(spec.type);
}

function expectedParameters({ expected }: TemplateManifest): readonly (readonly [string, string])[] {
  const { kind: _kind, sound, noFaceIfUnchanged: _face, ...named } = expected;
  const lengths = Object.entries(named).flatMap(([field, measure]) => {
    if (measure === null || measure === undefined || typeof measure === 'number') return [];
    const names = typeof measure === 'string' ? [measure] : measure.sum;
    return names.map((name) => [`expected.${field}`, name] as const);
  });
  return typeof sound === 'string' ? [...lengths, ['expected.sound', sound]] : lengths;
}

function complaintsAboutFace({ expected, parameters }: TemplateManifest): readonly string[] {
  const { noFaceIfUnchanged: name } = expected;
  if (name === undefined || (Object.hasOwn(parameters, name) && parameters[name]?.type === 'image')) return [];
  return [`expected.noFaceIfUnchanged: there is no parameter "${name}" that is an image`];
}

function modelParameters({ models }: TemplateManifest): readonly (readonly [string, string])[] {
  return models.flatMap((model) => ('parameter' in model ? [['models', model.parameter] as const] : []));
}

function vramParameters({ vram = [] }: TemplateManifest): readonly (readonly [string, string])[] {
  return vram.flatMap(({ upTo }, index) =>
    Object.keys(upTo).map((parameter) => [`vram.${index}.upTo`, parameter] as const),
  );
}

function falParameters({ fal }: TemplateManifest): readonly (readonly [string, string])[] {
  return Object.entries(fal?.input ?? {}).flatMap(([field, from]) =>
    'parameter' in from ? [[`fal.input.${field}`, from.parameter] as const] : [],
  );
}

function complaintsAboutSpec(spec: ParameterSpec): readonly string[] {
  const isRandom = spec.type === 'integer' && spec.random === true;
  const sources = [spec.required === true, spec.default !== undefined, isRandom].filter(Boolean).length;
  const one = sources === 1 ? [] : ['needs exactly one of required, default and random'];
  const leftOver =
    spec.type === 'integer' && spec.remainder !== undefined && spec.remainder >= (spec.multipleOf ?? 1)
      ? ['remainder must be smaller than multipleOf']
      : [];
  const invalid =
    spec.default === undefined ? [] : checkParameters({ value: spec }, { value: spec.default }).places.slice(0, 1);
  return [...one, ...leftOver, ...invalid.map(({ message }) => `default: ${message}`)];
}
