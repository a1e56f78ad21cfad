import { z } from 'zod';
import type { BackendCapabilities } from '../../workflows/contracts/backend-report.js';
import { capabilitiesFrom } from './capabilities.js';

/** What `GET /object_info` says of the node classes of one ComfyUI. */
export interface NodeCatalogue {
  readonly classes: ReadonlySet<string>;
  /** The values that an input offers; `null` for one that offers no list, or is not known. */
  optionsOf(classType: string, input: string): readonly string[] | null;
  /** What others are told of it. */
  capabilities(): BackendCapabilities;
}

const sectionSchema = z.record(z.string(), z.unknown()).catch({});
const classSchema = z.looseObject({
  input: z.looseObject({ required: sectionSchema.optional(), optional: sectionSchema.optional() }).catch({}),
});
/** Old style: the list stands in place of the type; new style: type COMBO and the list among the options. */
const oldListSchema = z.tuple([z.array(z.unknown())], z.unknown());
const newListSchema = z.tuple([z.literal('COMBO'), z.looseObject({ options: z.array(z.unknown()) })], z.unknown());

/** Reads an answer whose parts are as many node authors wrote them: what cannot be read offers nothing. */
export function nodeCatalogueFrom(objectInfo: Readonly<Record<string, unknown>>): NodeCatalogue {
  return {
    classes: new Set(Object.keys(objectInfo)),
    capabilities: () => capabilitiesFrom(objectInfo),
    optionsOf(classType, input) {
      const info = classSchema.safeParse(Object.hasOwn(objectInfo, classType) ? objectInfo[classType] : null).data;
      const { required = {}, optional = {} } = info?.input ?? {};
      return optionsIn(required[input] ?? optional[input]);
    },
  };
}

function optionsIn(spec: unknown): readonly string[] | null {
  const list = oldListSchema.safeParse(spec).data?.[0] ?? newListSchema.safeParse(spec).data?.[1].options;
  return list?.filter((option) => typeof option === 'string') ?? null;
}
