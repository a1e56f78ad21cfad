import { z } from 'zod';
import type { BackendCapabilities } from '../../workflows/contracts/backend-report.js';
import type { ClassFacts } from '../../workflows/domain/class-rules.js';
import type { Offer } from '../../workflows/domain/capability-gaps.js';
import { capabilitiesFrom } from './capabilities.js';

/** What `GET /object_info` says of the node classes of one ComfyUI. */
export interface NodeCatalogue {
  readonly classes: ReadonlySet<string>;
  /** The values that an input offers; `null` for one that offers no list, or is not known. */
  optionsOf(classType: string, input: string): readonly string[] | null;
  /** What rules for graphs look at; `null` for a class that is not known. */
  factsOf(classType: string): ClassFacts | null;
  /** What others are told of it. */
  capabilities(): BackendCapabilities;
}

const sectionSchema = z.record(z.string(), z.unknown()).catch({});
const classSchema = z.looseObject({
  input: z.looseObject({ required: sectionSchema.optional(), optional: sectionSchema.optional() }).catch({}),
  category: z.string().catch(''),
  api_node: z.boolean().catch(false),
  python_module: z.string().catch(''),
});
type ClassInfo = z.infer<typeof classSchema>;
/** Old style: the list stands in place of the type; new style: type COMBO and the list among the options. */
const oldListSchema = z.tuple([z.array(z.unknown())], z.unknown());
const newListSchema = z.tuple([z.literal('COMBO'), z.looseObject({ options: z.array(z.unknown()) })], z.unknown());

/** `[type, {image_upload: true}]`, and so for videos, sounds and other files. */
const uploadSchema = z.tuple(
  [z.unknown(), z.looseObject({}).refine((options) => UPLOADS.some((upload) => options[upload] === true))],
  z.unknown(),
);
const UPLOADS = ['image_upload', 'video_upload', 'audio_upload', 'file_upload'];

/** What a graph can find there. */
export function offerOf(catalogue: NodeCatalogue): Pick<Offer, 'nodeClasses' | 'modelFiles'> {
  const { modelFiles } = catalogue.capabilities();
  return { nodeClasses: catalogue.classes, modelFiles: modelFiles === undefined ? null : new Set(modelFiles) };
}

/** Reads an answer whose parts are as many node authors wrote them: what cannot be read offers nothing. */
export function nodeCatalogueFrom(objectInfo: Readonly<Record<string, unknown>>): NodeCatalogue {
  const infoOf = (classType: string): ClassInfo | null =>
    classSchema.safeParse(Object.hasOwn(objectInfo, classType) ? objectInfo[classType] : null).data ?? null;
  let capabilities: BackendCapabilities | null = null; // thousands of names, looked at before each claim
  return {
    classes: new Set(Object.keys(objectInfo)),
    capabilities: () => (capabilities ??= capabilitiesFrom(objectInfo)),
    optionsOf(classType, input) {
      const { required = {}, optional = {} } = infoOf(classType)?.input ?? {};
      return optionsIn(required[input] ?? optional[input]);
    },
    factsOf(classType) {
      const info = infoOf(classType);
      return info === null ? null : factsIn(info);
    },
  };
}

/** ComfyUI marks its partner nodes, and has them in a module of their own. */
function factsIn({ category, api_node: isApiNode, python_module: module, input }: ClassInfo): ClassFacts {
  const inputs = Object.entries({ ...input.required, ...input.optional });
  return {
    category,
    isPartnerNode: isApiNode || module.startsWith('comfy_api_nodes'),
    uploadInputs: inputs.filter(([, spec]) => uploadSchema.safeParse(spec).success).map(([name]) => name),
  };
}

function optionsIn(spec: unknown): readonly string[] | null {
  const list = oldListSchema.safeParse(spec).data?.[0] ?? newListSchema.safeParse(spec).data?.[1].options;
  return list?.filter((option) => typeof option === 'string') ?? null;
}
