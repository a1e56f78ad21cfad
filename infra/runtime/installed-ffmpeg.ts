import { createRequire } from 'node:module';

/** The ffmpeg that npm brings for this platform; `null` where the optional package is not installed. */
export function installedFfmpeg(): string | null {
  try {
    return (createRequire(import.meta.url)('@ffmpeg-installer/ffmpeg') as { readonly path: string }).path;
  } catch {
    return null; // not every platform has it
  }
}
