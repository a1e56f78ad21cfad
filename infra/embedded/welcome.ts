import { stringFrom } from '../runtime/env.js';
import { falLine } from './fal-line.js';
import type { Children } from './start-children.js';

/** What is printed when everything is up. */
export function welcome({ env, apiUrl, comfyUIAddress, isSimulated }: Children, seconds: number): string {
  const body = JSON.stringify(demonstrationRequest(isSimulated));
  return [
    '',
    `  API               ${apiUrl}   (schemas: ${apiUrl}/openapi.json)`,
    `  Temporal Web UI   ${stringFrom(env, 'TEMPORAL_UI_URL', 'where your Temporal has it')}`,
    `  Temporal          ${stringFrom(env, 'TEMPORAL_ADDRESS', 'from your Temporal profile')}`,
    `  Temporal command  ${stringFrom(env, 'TEMPORAL_CLI_PATH', 'temporal')}`,
    `  Object store      ${stringFrom(env, 'S3_ENDPOINT', '')}, bucket ${stringFrom(env, 'S3_BUCKET', 'durable-comfy')}`,
    `  ComfyUI           ${comfyUIAddress}`,
    ...falLine(env),
    `  Data and logs     ${stringFrom(env, 'DATA_DIR', '')}`,
    '',
    `durable-comfy is ready in ${seconds.toFixed(1)} s`,
    '',
    'Ask for a picture:',
    `  curl -s ${apiUrl}/v1/generations -H 'content-type: application/json' -d '${body}'`,
    '',
  ].join('\n');
}

/** A real ComfyUI may have no model at all; `test-card` needs none. */
export function demonstrationRequest(isSimulated: boolean): {
  readonly template: string;
  readonly parameters: Readonly<Record<string, unknown>>;
} {
  const size = { width: 512, height: 512 };
  if (!isSimulated) return { template: 'test-card', parameters: size };
  return { template: 'sd15-text-to-image', parameters: { prompt: 'a lighthouse at dusk', ...size } };
}
