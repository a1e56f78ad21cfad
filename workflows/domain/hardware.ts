/** What a ComfyUI renders with: on its CPU, on a GPU that takes turns with the machine's memory, or on a GPU alone. */
export const HARDWARE_CLASSES = ['cpu', 'low-vram', 'gpu'] as const;
export type HardwareClass = (typeof HARDWARE_CLASSES)[number];

/** Flags by which ComfyUI keeps most of a model, or all of it, outside of the card (comfy/cli_args.py). */
const OFFLOADING = ['--lowvram', '--novram'];

/** From `GET /system_stats`; `null` when a ComfyUI does not say how it was started. */
export function hardwareOf(stats: {
  /** torch's name of the first device. */
  readonly deviceType: string | null;
  readonly argv: readonly string[] | null;
}): HardwareClass | null {
  const { deviceType, argv } = stats;
  if (deviceType === null || deviceType === 'cpu' || argv?.includes('--cpu') === true) return 'cpu';
  if (argv === null) return null;
  return argv.some((flag) => OFFLOADING.includes(flag)) ? 'low-vram' : 'gpu';
}
