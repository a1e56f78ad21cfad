import { bindTemplate } from '../../api/templates/bind-template.js';
import type { BoundTemplate } from '../../api/templates/bind-template.js';
import { checkParameters } from '../../api/templates/check-parameters.js';
import type { Template } from '../../api/templates/template.js';
import type { SampleInput } from './sample-inputs.js';

/** A template with its example, and with samples in place of the files that the example names. */
export function bindExample(template: Template, samples: ReadonlyMap<string, SampleInput>): BoundTemplate {
  const { parameters, example } = template.manifest;
  const { values } = checkParameters(parameters, example); // the example was checked when the template was loaded
  const files = new Map([...samples].map(([name, { input }]) => [name, input] as const));
  const ids = Object.fromEntries([...files].map(([name, { uploadId }]) => [name, uploadId]));
  return bindTemplate(template, { given: { ...values, ...ids }, files });
}
