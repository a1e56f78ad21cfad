import { z } from 'zod';

/** What a ComfyUI says of the inputs of one class. */
export interface ClassInputs {
  readonly required: readonly string[];
  readonly optional: readonly string[];
  /** Values are files that somebody uploads, so that no list is complete. */
  readonly uploads: readonly string[];
}

const sectionSchema = z.record(z.string(), z.unknown()).catch({});
const classSchema = z.looseObject({
  input: z.looseObject({ required: sectionSchema.optional(), optional: sectionSchema.optional() }),
});
const optionsSchema = z.tuple([z.unknown(), z.record(z.string(), z.unknown())], z.unknown());
/** New-style inputs whose parts have names of their own, known to the class only. */
const DYNAMIC_TYPE = /^COMFY_(AUTOGROW|DYNAMIC)/;

/** The inputs of one class of `/object_info`; `null` for one that is not there or cannot be read. */
export function classInputsOf(objectInfo: Readonly<Record<string, unknown>>, classType: string): ClassInputs | null {
  const info = Object.hasOwn(objectInfo, classType) ? objectInfo[classType] : null;
  const input = classSchema.safeParse(info).data?.input;
  if (input === undefined) return null;
  const { required = {}, optional = {} } = input;
  const entries = Object.entries({ ...required, ...optional });
  return {
    required: Object.keys(required).filter((name) => !isDynamic(required[name])),
    optional: [...Object.keys(optional), ...Object.keys(required).filter((name) => isDynamic(required[name]))],
    uploads: entries.filter(([, spec]) => isUpload(spec)).map(([name]) => name),
  };
}

function isUpload(spec: unknown): boolean {
  const options = optionsSchema.safeParse(spec).data?.[1] ?? {};
  return Object.entries(options).some(([name, value]) => name.endsWith('_upload') && value === true);
}

function isDynamic(spec: unknown): boolean {
  return Array.isArray(spec) && typeof spec[0] === 'string' && DYNAMIC_TYPE.test(spec[0]);
}
