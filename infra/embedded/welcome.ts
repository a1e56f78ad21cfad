import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { falLine } from './fal-line.js';
import type { Children } from './start-children.js';
import type { StopInForce } from './stop-in-force.js';

/** What is printed when everything is up; `stop` when an emergency stop of before is still in force. */
export function welcome(
  { env, apiUrl, comfyUIAddress, isSimulated }: Omit<Children, 'givenUp'>,
  { seconds, stop }: { readonly seconds: number; readonly stop: StopInForce | null },
): string {
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
    ...exportsFor(env),
    ...(stop === null ? readyLines(seconds, { apiUrl, isSimulated }) : stoppedLines(seconds, { apiUrl, stop })),
    '',
  ].join('\n');
}

function readyLines(
  seconds: number,
  { apiUrl, isSimulated }: { readonly apiUrl: string; readonly isSimulated: boolean },
): readonly string[] {
  const body = JSON.stringify(demonstrationRequest(isSimulated));
  return [
    `durable-comfy is ready in ${seconds.toFixed(1)} s`,
    '',
    'Ask for a picture:',
    `  curl -s ${apiUrl}/v1/generations -H 'content-type: application/json' -d '${body}'`,
  ];
}

function stoppedLines(
  seconds: number,
  { apiUrl, stop }: { readonly apiUrl: string; readonly stop: StopInForce },
): readonly string[] {
  return [
    `durable-comfy is up in ${seconds.toFixed(1)} s, but STOPPED: an emergency stop is in force since ${stop.requestedAt}`,
    `Its reason: ${stop.reason}`,
    '',
    'Nothing is accepted or rendered until it is resumed:',
    `  curl -s -X POST ${apiUrl}/v1/resume`,
  ];
}

/** Where the `temporal` command looks when nothing tells it otherwise. */
const USUAL = { TEMPORAL_ADDRESS: /^(127\.0\.0\.1|localhost):7233$/, TEMPORAL_NAMESPACE: /^default$/ } as const;

/** Whoever pastes a documented command must not meet another Temporal: that of another stack on this machine. */
function exportsFor(env: Env): readonly string[] {
  const unusual = (['TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE'] as const)
    .map((name) => ({ name, value: stringFrom(env, name, '') }))
    .filter(({ name, value }) => value !== '' && !USUAL[name].test(value));
  if (unusual.length === 0) return [];
  const settings = unusual.map(({ name, value }) => `${name}=${value}`).join(' ');
  return ['Before any temporal command, or it talks to another Temporal:', `  export ${settings}`, ''];
}

/** A real ComfyUI may have no model at all; `test-card` needs none, and has no counterpart on fal.ai. */
export function demonstrationRequest(isSimulated: boolean): {
  readonly template: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly provider?: 'comfyui-only';
} {
  const size = { width: 512, height: 512 };
  if (!isSimulated) return { template: 'test-card', parameters: size, provider: 'comfyui-only' };
  return { template: 'sd15-text-to-image', parameters: { prompt: 'a lighthouse at dusk', ...size } };
}
