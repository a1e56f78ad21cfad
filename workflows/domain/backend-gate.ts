export const GATE_POSITIONS = ['open', 'draining', 'closed'] as const;

/** `draining`: no new claims, what was claimed is still submitted; `closed`: no submissions, either. */
export type GatePosition = (typeof GATE_POSITIONS)[number];

/** What is wanted of one backend, whatever its health. A quarantine that ends leaves a drain as it was. */
export interface GateWish {
  readonly isDrained: boolean;
  /** Why nothing may be submitted until its ComfyUI was restarted, or `null`. */
  readonly quarantine: string | null;
  /** Why the whole service is stopped; absent or `null` when it is not. */
  readonly emergency?: string | null;
}

/** The position that a wish asks for. */
export function gatePositionOf({ isDrained, quarantine, emergency = null }: GateWish): GatePosition {
  if (quarantine !== null || emergency !== null) return 'closed';
  return isDrained ? 'draining' : 'open';
}

/** The wish behind a position, where only the position is known: the Workflow that knew the rest was terminated. */
export function gateWishOf(position: GatePosition): GateWish {
  const quarantine = position === 'closed' ? 'closed before its Workflow was ended' : null;
  return { isDrained: position === 'draining', quarantine };
}
