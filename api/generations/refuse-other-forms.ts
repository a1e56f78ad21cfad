import { closestNames } from '../../workflows/domain/closest-names.js';
import { isJsonObject } from '../json-object.js';
import type { JsonObject } from '../json-object.js';
import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import { graphRequestSchema, templateRequestSchema } from '../schemas/generation-request.js';
import { MAX_PLACES, pointerOf } from '../schemas/problem-places.js';
import { isFileParameter } from '../templates/template-manifest.js';
import type { Template, Templates } from '../templates/template.js';

const FIELDS = [...new Set([...Object.keys(templateRequestSchema.shape), ...Object.keys(graphRequestSchema.shape)])];

/** Refuses bodies with neither or both of `template` and `graph`, and says what the caller has most likely meant. */
export function refuseOtherForms(body: JsonObject, templates: Templates): void {
  const hasTemplate = Object.hasOwn(body, 'template');
  if (hasTemplate !== Object.hasOwn(body, 'graph')) return;
  if (hasTemplate) throw wrongForm('The body holds both `template` and `graph`; send one of them.', body, templates);
  refuseUiFormat(body, '');
  if (isPromptBody(body)) {
    throw new ProblemError(
      'invalid_request',
      "The body is in the form of ComfyUI's own POST /prompt. Send the value of `prompt` as `graph`.",
      {
        places: [{ pointer: '/prompt', message: 'is a graph; send it as `graph`' }],
        remedy: 'Send {"graph": {…}} with the value of `prompt`, without `client_id` and `extra_data`.',
      },
    );
  }
  if (looksLikeGraph(body)) {
    throw new ProblemError('invalid_request', 'The body is a graph itself; send it as {"graph": {…}}.', {
      places: [{ pointer: '', message: 'is a graph; send it as `graph`' }],
      remedy: 'Send {"graph": {…}} with this body as the value of `graph`.',
    });
  }
  throw wrongForm('The body holds neither `template` nor `graph`.', body, templates);
}

/** What stands in `graph` may be a graph for the editor, or all of what ComfyUI's own `/prompt` takes. */
export function refuseOtherGraphs(graph: unknown): void {
  refuseUiFormat(graph, '/graph');
  if (!isPromptBody(graph)) return;
  const detail = "`graph` holds what ComfyUI's own POST /prompt takes. Send the value of `prompt` as `graph`.";
  throw new ProblemError('invalid_graph', detail, {
    places: [{ pointer: '/graph', message: 'holds the graph in `prompt`; send the value of `prompt` as `graph`' }],
  });
}

function refuseUiFormat(graph: unknown, pointer: string): void {
  if (!isJsonObject(graph) || !Array.isArray(graph['nodes']) || !('links' in graph)) return;
  throw new ProblemError(
    'graph_in_ui_format',
    'The graph has "nodes" and "links": it was saved for the editor and cannot be rendered. ' +
      'In ComfyUI, export it with "Save (API format)" (newer versions: Workflow → Export (API)).',
    { places: [{ pointer, message: "is in the editor's format" }] },
  );
}

function wrongForm(detail: string, body: JsonObject, templates: Templates): ProblemError {
  const example = [...templates.values()].find(needsNoFile);
  const request = example && JSON.stringify({ template: example.name, parameters: example.manifest.example });
  const unknown = Object.keys(body).filter((name) => !FIELDS.includes(name));
  const places = [
    { pointer: '', message: 'needs either `template` or `graph`' },
    ...unknown.slice(0, MAX_PLACES).map((name) => unknownField(name, templates)),
  ];
  return new ProblemError('invalid_request', detail, {
    places,
    remedy: `Send {"template": …, "parameters": {…}} or {"graph": {…}}${request === undefined ? '' : `, for example ${request}`}.`,
  });
}

/** Its example works for everybody. */
function needsNoFile({ manifest }: Template): boolean {
  return !Object.values(manifest.parameters).some(isFileParameter);
}

function unknownField(name: string, templates: Templates): ProblemPlace {
  const isParameter = [...templates.values()].some(({ manifest }) => Object.hasOwn(manifest.parameters, name));
  const [closest] = isParameter ? ['parameters'] : closestNames(name, FIELDS);
  const hint = isParameter ? 'parameters of a template belong into' : 'the closest is';
  const message = `is not a field of this request; ${hint} \`${closest}\``;
  return { pointer: pointerOf([name]), message, allowed: FIELDS };
}

/** `{"prompt": {…graph…}, "client_id": …}` */
function isPromptBody(value: unknown): boolean {
  if (!isJsonObject(value) || !isJsonObject(value['prompt'])) return false;
  return looksLikeGraph(value['prompt']) || Object.hasOwn(value, 'client_id');
}

/** Objects only, and nodes among them; which of the nodes are wrong is said once they arrive as `graph`. */
function looksLikeGraph(value: JsonObject): boolean {
  const nodes = Object.values(value);
  return nodes.every(isJsonObject) && nodes.some((node) => Object.hasOwn(node, 'class_type'));
}
