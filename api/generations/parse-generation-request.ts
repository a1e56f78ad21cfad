import type { Correction } from '../../workflows/domain/correct-graph.js';
import { danglingLinks } from '../../workflows/domain/graph.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { isJsonObject } from '../json-object.js';
import type { JsonObject } from '../json-object.js';
import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import { issueWords } from '../../infra/runtime/issue-words.js';
import { pointerOf, problemPlaces } from '../schemas/problem-places.js';
import { graphRequestSchema, templateRequestSchema } from '../schemas/generation-request.js';
import type { GraphRequest, RecoveryRequest } from '../schemas/generation-request.js';
import type { NoFalRequest, ProviderMode } from '../../workflows/contracts/fal.js';
import { bindFal } from '../templates/bind-fal.js';
import type { BoundFal } from '../templates/bind-fal.js';
import { bindTemplate } from '../templates/bind-template.js';
import type { BoundTemplate } from '../templates/bind-template.js';
import { checkParameters } from '../templates/check-parameters.js';
import type { CheckedParameters } from '../templates/check-parameters.js';
import { isFileParameter } from '../templates/template-manifest.js';
import type { Template, Templates } from '../templates/template.js';
import type { ResolveInputs, ResolvedInput, WantedInput } from '../uploads/resolve-inputs.js';
import { placeFiles, unusedNames } from './place-files.js';
import { refuseOtherForms, refuseOtherGraphs } from './refuse-other-forms.js';

/** A request that can be accepted: the graph is complete, every value is decided. */
export interface AcceptableRequest extends BoundTemplate {
  /** Files that the graph is given. */
  readonly inputs: readonly ResolvedInput[];
  /** Parameters that were given in another spelling. */
  readonly corrections: readonly Correction[];
  /** Template name, or `graph`. */
  readonly template: string;
  readonly pool: string;
  /** The template's own limit, where it sets one. */
  readonly renderSeconds: number | null;
  readonly metadata: Readonly<Record<string, string>>;
  /** `null`: as usual. */
  readonly priority: number | null;
  readonly timeoutMinutes: number | null;
  readonly recovery: RecoveryRequest | null;
  readonly provider: ProviderMode;
  /** The account that pays, if any. */
  readonly account: string | null;
  /** What one output costs; `null`: as the service is configured for graphs. */
  readonly creditsPerOutput: number | null;
  readonly fal: BoundFal | NoFalRequest;
}

/** What an output of a template costs that says nothing of it. */
const DEFAULT_CREDITS = 1;

const GRAPH_ON_FAL: NoFalRequest = { reason: 'a graph has no counterpart there; use a template that has one' };

const NOT_FAL: readonly ProviderMode[] = ['comfyui', 'comfyui-only'];
const TO_COMFYUI =
  'Send "provider": "comfyui" or "comfyui-only", or a request that fal.ai can take; docs/fal.md says which.';

export interface RequestWorld {
  readonly templates: Templates;
  readonly resolveInputs: ResolveInputs;
  /** Of requests that name none. */
  readonly provider: ProviderMode;
}

/**
 * Judges a body; throws one `ProblemError` that lists everything that is wrong with it. Files are looked at last, when
 * everything else is right.
 */
export async function parseGenerationRequest(body: unknown, world: RequestWorld): Promise<AcceptableRequest> {
  if (!isJsonObject(body)) throw new ProblemError('invalid_request', 'The body is not a JSON object.');
  refuseOtherForms(body, world.templates);
  return Object.hasOwn(body, 'template') ? fromTemplate(body, world) : fromGraph(body, world);
}

async function fromTemplate(body: JsonObject, world: RequestWorld): Promise<AcceptableRequest> {
  const { templates, resolveInputs } = world;
  const template = templateOf(body, templates);
  const parsed = templateRequestSchema.safeParse(body, { error: issueWords });
  const shape = parsed.success ? [] : problemPlaces(parsed.error, templateRequestSchema);
  const { parameters = {} } = body;
  const checked = checkedParameters(parameters, template);
  const wrong = checked.places.map((place) => ({ ...place, pointer: `/parameters${place.pointer}` }));
  const places = [...shape, ...wrong];
  if (!parsed.success || template === undefined || places.length > 0) {
    throw new ProblemError(shape.length > 0 ? 'invalid_request' : 'invalid_parameters', countOf(places), { places });
  }
  const { metadata, priority, timeoutMinutes, recovery, provider, account } = parsed.data;
  const files = await filesOf(template, checked.values, resolveInputs);
  const ids = Object.fromEntries([...files].map(([name, { uploadId }]) => [name, uploadId]));
  const given = { ...checked.values, ...ids };
  const bound = bindTemplate(template, { given, files });
  const fal = bindFal(template, { asked: bound.asked, given, files });
  refuseIfNotOnFal(fal, provider, world);
  return {
    template: template.name,
    pool: template.manifest.pool,
    renderSeconds: template.manifest.limits.renderSeconds ?? null,
    ...bound,
    inputs: [...files.values()],
    corrections: checked.corrections,
    metadata,
    priority: priority ?? null,
    timeoutMinutes: timeoutMinutes ?? null,
    recovery: recovery ?? null,
    provider: provider ?? world.provider,
    account: account ?? null,
    creditsPerOutput: template.manifest.creditsPerOutput ?? DEFAULT_CREDITS,
    fal,
  };
}

function refuseIfNotOnFal(
  fal: BoundFal | NoFalRequest,
  ...[given, world]: [ProviderMode | undefined, Pick<RequestWorld, 'provider'>]
): void {
  if ((given ?? world.provider) !== 'fal' || !('reason' in fal)) return;
  const says = given === undefined ? 'is absent, which means fal here (setting PROVIDER)' : 'is fal';
  const place = { pointer: '/provider', message: `${says}, but ${fal.reason}`, allowed: NOT_FAL };
  throw new ProblemError('invalid_request', countOf([place]), { places: [place], remedy: TO_COMFYUI });
}

function checkedParameters(given: unknown, template: Template | undefined): CheckedParameters {
  if (template === undefined || !isJsonObject(given)) return { values: {}, corrections: [], places: [] }; // the schema says so
  return checkParameters(template.manifest.parameters, given);
}

function templateOf(body: JsonObject, templates: Templates): Template | undefined {
  const name = body['template'];
  if (typeof name !== 'string') return undefined; // the schema says so
  const template = templates.get(name);
  if (template !== undefined) return template;
  const known = [...templates.keys()];
  throw new ProblemError('unknown_template', `Templates: ${known.join(', ')}.`, {
    places: [{ pointer: '/template', message: 'is not the name of a template', allowed: known }],
  });
}

/** By name of the parameter. */
async function filesOf(
  { manifest }: Template,
  ...[values, resolveInputs]: [CheckedParameters['values'], ResolveInputs]
): Promise<ReadonlyMap<string, ResolvedInput>> {
  const wanted = Object.entries(manifest.parameters).flatMap(([name, spec]): readonly WantedInput[] => {
    const reference = values[name];
    if (typeof reference !== 'string' || !isFileParameter(spec)) return [];
    const { type, maxPixels, maxSeconds } = spec;
    const limits = { ...(maxPixels !== undefined && { maxPixels }), ...(maxSeconds !== undefined && { maxSeconds }) };
    return [{ pointer: pointerOf(['parameters', name]), reference, kind: type === 'mask' ? 'image' : type, ...limits }];
  });
  const resolved = await resolveInputs(wanted);
  const byName = Object.keys(manifest.parameters).flatMap((name) => {
    const file = resolved.get(pointerOf(['parameters', name]));
    return file === undefined ? [] : [[name, file] as const];
  });
  return new Map(byName);
}

async function fromGraph(body: JsonObject, world: RequestWorld): Promise<AcceptableRequest> {
  refuseOtherGraphs(body['graph']);
  const parsed = graphRequestSchema.safeParse(body, { error: issueWords });
  if (!parsed.success) {
    const places = problemPlaces(parsed.error, graphRequestSchema).map(withNodeId);
    const isAboutGraph = places.every(({ pointer }) => pointer.startsWith('/graph'));
    throw new ProblemError(isAboutGraph ? 'invalid_graph' : 'invalid_request', countOf(places), { places });
  }
  const { graph, images, metadata, priority, timeoutMinutes, recovery, provider, account }: GraphRequest = parsed.data;
  refuseDanglingLinks(graph);
  const unused = unusedNames(graph, Object.keys(images));
  if (unused.length > 0) throw new ProblemError('invalid_request', countOf(unused), { places: unused });
  refuseIfNotOnFal(GRAPH_ON_FAL, provider, world);
  const pointers = Object.keys(images).map((name) => [name, pointerOf(['images', name])] as const);
  const files = await world.resolveInputs(
    pointers.map(([name, pointer]) => ({ pointer, reference: images[name] ?? '', kind: null })),
  );
  const keys = pointers.map(([name, pointer]) => [name, files.get(pointer)?.objectKey ?? ''] as const);
  return {
    template: 'graph',
    pool: 'default',
    renderSeconds: null,
    graph: placeFiles(graph, new Map(keys)),
    inputs: [...files.values()],
    asked: {},
    corrections: [],
    expected: { ...ANYTHING, flatImages: 'allow' },
    vramGb: null,
    metadata,
    priority: priority ?? null,
    timeoutMinutes: timeoutMinutes ?? null,
    recovery: recovery ?? null,
    provider: provider ?? world.provider,
    account: account ?? null,
    creditsPerOutput: null,
    fal: GRAPH_ON_FAL,
  };
}

/** Whoever brings a graph knows what it makes. */
const ANYTHING = {
  kind: null,
  widthPx: null,
  heightPx: null,
  count: null,
  frames: null,
  durationSeconds: null,
} as const;

/** Without a prototype, so that a link to a node named `constructor` is seen to dangle. */
function refuseDanglingLinks(graph: ApiGraph): void {
  const bare: ApiGraph = Object.setPrototypeOf({ ...graph }, null) as ApiGraph;
  const places = danglingLinks(bare).map(({ node, input, target }) => ({
    pointer: `/graph/${node}/inputs/${input}`,
    nodeId: node,
    message: `input "${input}" of node ${node} is linked to node ${target}, which does not exist`,
  }));
  if (places.length > 0) throw new ProblemError('graph_link_dangling', countOf(places), { places });
}

function withNodeId(place: ProblemPlace): ProblemPlace {
  const nodeId = /^\/graph\/([^/]+)/.exec(place.pointer)?.[1];
  return nodeId === undefined ? place : { ...place, nodeId };
}

function countOf(places: readonly ProblemPlace[]): string {
  const [first] = places;
  const one = first === undefined ? 'The request is not valid' : `${first.pointer}: ${first.message}`;
  return places.length > 1 ? `${one}; and ${places.length - 1} more, listed in errors.` : `${one}.`;
}
