import { nodeCatalogueFrom } from '../../activities/comfyui/node-catalogue.js';
import type { NodeCatalogue } from '../../activities/comfyui/node-catalogue.js';
import type { ParameterValue } from '../../api/templates/parameter-types.js';
import type { TemplateManifest } from '../../api/templates/template-manifest.js';
import type { Template } from '../../api/templates/template.js';
import { closestNames } from '../../workflows/domain/closest-names.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { classInputsOf } from './class-inputs.js';

export interface ModelFile {
  readonly folder: string;
  readonly name: string;
  readonly url: string | null;
}

type ObjectInfo = Readonly<Record<string, unknown>>;

interface Checked {
  readonly template: Template;
  readonly models: readonly ModelFile[];
  readonly objectInfo: ObjectInfo;
  readonly catalogue: NodeCatalogue;
}

/** What a ComfyUI lacks of a template, bound with `graph`: one line each, with where to get it. */
export function missingParts(
  {
    template,
    graph,
    models,
  }: { readonly template: Template; readonly graph: ApiGraph; readonly models: readonly ModelFile[] },
  objectInfo: ObjectInfo,
): readonly string[] {
  const checked = { template, models, objectInfo, catalogue: nodeCatalogueFrom(objectInfo) };
  return Object.entries(graph).flatMap(([nodeId, node]) => {
    const { title = node.class_type } = node._meta ?? {};
    const missing = missingOf(node, checked);
    return missing.map((part) => `${part} (node ${nodeId}, ${title})`);
  });
}

/** The model files of a template with these parameters; a name that a node gives, or only the folder's owner knows. */
export function modelFilesOf(
  { models }: TemplateManifest,
  asked: Readonly<Record<string, ParameterValue>>,
): readonly ModelFile[] {
  return models.map((model) => {
    const name = 'name' in model ? model.name : String(asked[model.parameter] ?? '');
    return { folder: model.folder, name, url: model.url ?? null };
  });
}

function missingOf({ class_type: classType, inputs }: ApiGraph[string], checked: Checked): readonly string[] {
  const { template, objectInfo, catalogue } = checked;
  if (!catalogue.classes.has(classType)) {
    const { customNodes } = template.manifest;
    const from = customNodes.length === 0 ? 'a newer ComfyUI has it' : `from ${customNodes.join(' or ')}`;
    return [`class ${classType}: ${from}`];
  }
  const known = classInputsOf(objectInfo, classType);
  if (known === null) return [];
  const names = [...known.required, ...known.optional];
  return [
    ...known.required
      .filter((name) => !Object.hasOwn(inputs, name))
      .map((name) => `${classType} wants an input ${name}`),
    ...Object.keys(inputs)
      .filter((name) => !names.includes(name.split('.')[0] ?? name))
      .map((name) => `${classType} has no input ${name}; it has ${names.join(', ')}`),
    ...Object.entries(inputs).flatMap(([name, value]) =>
      typeof value === 'string' && !known.uploads.includes(name)
        ? unknownValue({ classType, name, value }, checked)
        : [],
    ),
  ];
}

function unknownValue(
  { classType, name, value }: { readonly classType: string; readonly name: string; readonly value: string },
  { models, catalogue }: Checked,
): readonly string[] {
  const options = catalogue.optionsOf(classType, name);
  if (options === null || options.includes(value)) return [];
  const model = models.find((each) => each.name === value);
  if (model !== undefined) {
    const from = model.url === null ? '' : `, from ${model.url}`;
    return [`model ${value}: put it into models/${model.folder}${from}`];
  }
  const closest = closestNames(value, options);
  return [
    `${classType} does not offer ${name} "${value}"${closest.length === 0 ? '' : `; the closest are ${closest.join(', ')}`}`,
  ];
}
