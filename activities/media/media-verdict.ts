import type { MediaFacts } from '../../workflows/contracts/generation.js';
import type { MediaFault } from '../../workflows/domain/media-signature.js';

/** A file that is whole, with what was measured, or the first fault that was found. */
export type MediaVerdict =
  | ({
      readonly ok: true;
      readonly extension: string;
      /** Of a video. */
      readonly hasSound?: boolean;
    } & MediaFacts)
  | { readonly ok: false; readonly fault: MediaFault; readonly detail: string };

/** Thrown by a step of an inspection and turned into a verdict by it: a file is judged, never an error. */
export class MediaFaultError extends Error {
  override readonly name = 'MediaFaultError';
  readonly fault: MediaFault;

  constructor(fault: MediaFault, detail: string) {
    super(detail);
    this.fault = fault;
  }
}

/** `null` for a still. */
export type AnimationFacts = Pick<MediaFacts, 'frames' | 'durationSeconds'>;

/** What kinds without pictures and time have of them. */
export const UNTIMED = { widthPx: null, heightPx: null, frames: null, durationSeconds: null, isFlat: false } as const;

export function invalid(fault: MediaFault, detail: string): MediaVerdict {
  return { ok: false, fault, detail };
}
