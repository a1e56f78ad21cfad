import { z } from 'zod';
import type { ComfyUITarget } from '../../infra/runtime/comfyui-config.js';
import type { DeviceKind } from '../../workflows/contracts/activities.js';
import { hardwareOf } from '../../workflows/domain/hardware.js';
import type { HardwareClass } from '../../workflows/domain/hardware.js';
import type { ComfyUIAddress } from './comfyui-address.js';
import { parseComfyUIAddress, withHeaders } from './comfyui-address.js';
import { createComfyUIHttp } from './comfyui-http.js';
import type { AddressAnswer } from './errors.js';
import { ComfyUIError, NoComfyUIError, reasonOf } from './errors.js';

/** A ComfyUI that answered and can be used. */
export interface DiscoveredComfyUI {
  readonly address: ComfyUIAddress;
  readonly version: string;
  readonly device: DeviceKind;
  readonly hardware: HardwareClass | null;
  readonly deviceName: string;
  readonly vramTotalBytes: number | null;
}

/** One request for each candidate, all at once; a healthy one is recognised in under 5 s (R3.6). */
const PROBE_MS = 5_000;
/** Own prompt ids came with 0.3.45, an interrupt that hits only its own prompt with 0.3.57. */
const MINIMUM_VERSION = '0.3.57';

/** torch's name of DirectML, of which ComfyUI says that every card has 1 GiB. */
const DIRECT_ML = 'privateuseone';

const systemStatsSchema = z.object({
  system: z.looseObject({ comfyui_version: z.string(), argv: z.array(z.string()).nullable().catch(null) }),
  devices: z.array(z.looseObject({ name: z.string(), type: z.string(), vram_total: z.number().nullish() })),
});

/** Asks every candidate and takes the first usable one in R2.1's order, or throws `NoComfyUIError` with what each said. */
export async function discoverComfyUI(target: ComfyUITarget, signal?: AbortSignal): Promise<DiscoveredComfyUI> {
  const probes = candidatesOf(target).map(async (address) => probe(address, signal));
  for (const asked of probes) asked.catch(() => undefined); // awaited below in order, and not at all after the first
  const answers: AddressAnswer[] = [];
  for (const asked of probes) {
    const answer = await asked;
    if ('version' in answer) return answer;
    answers.push(answer);
  }
  throw new NoComfyUIError(answers);
}

/** The addresses of a target, in the order in which they are preferred. */
export function candidatesOf(target: ComfyUITarget): readonly ComfyUIAddress[] {
  const urls = target.kind === 'fixed' ? [target.url] : target.ports.map((port) => `http://${target.host}:${port}`);
  return urls.map((url) => withHeaders(parseComfyUIAddress(url), target.headers ?? {}));
}

async function probe(address: ComfyUIAddress, signal?: AbortSignal): Promise<DiscoveredComfyUI | AddressAnswer> {
  const http = createComfyUIHttp(address);
  try {
    const answer = await http.send({ path: '/api/system_stats', signal, totalMs: PROBE_MS });
    const stats = systemStatsSchema.safeParse(answer.json).data;
    if (answer.status !== 200 || stats === undefined) {
      return { address: address.label, said: `answers ${answer.status}, ${hintOf(answer.status)}` };
    }
    return usableOrReason(address, stats);
  } catch (error) {
    if (!(error instanceof ComfyUIError)) throw error;
    return { address: address.label, said: reasonOf(error) };
  } finally {
    await http.close();
  }
}

function hintOf(status: number): string {
  if (status !== 401 && status !== 403) return 'but not as a ComfyUI';
  return 'it wants other credentials: in COMFYUI_URL, or as COMFYUI_HEADERS';
}

function usableOrReason(
  address: ComfyUIAddress,
  { system, devices }: z.infer<typeof systemStatsSchema>,
): DiscoveredComfyUI | AddressAnswer {
  const version = system.comfyui_version;
  if (isOlder(version, MINIMUM_VERSION)) {
    return { address: address.label, said: `ComfyUI ${version} is too old, ${MINIMUM_VERSION} or newer is needed` };
  }
  const [device] = devices;
  const hardware = hardwareOf({ deviceType: device?.type ?? null, argv: system.argv });
  return {
    address,
    version,
    device: hardware === 'cpu' ? 'cpu' : 'gpu',
    hardware,
    deviceName: device?.name ?? 'unknown',
    vramTotalBytes: device?.type === DIRECT_ML ? null : (device?.vram_total ?? null),
  };
}

/** Compares dotted versions by number; a part that is no number (a git suffix) counts as 0. */
export function isOlder(version: string, minimum: string): boolean {
  const parts = (text: string) =>
    text
      .replace(/^v/, '')
      .split('.')
      .map((part) => Number.parseInt(part, 10));
  const wanted = parts(minimum);
  const given = parts(version);
  for (const [index, want] of wanted.entries()) {
    const have = given[index] ?? 0;
    if (have !== want) return Number.isNaN(have) || have < want;
  }
  return false;
}
