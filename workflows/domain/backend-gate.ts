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

export const GATE_CAUSES = ['emergency_stop', 'quarantine', 'drain'] as const;

/** One thing that keeps a gate from being open, and the reason that somebody gave. */
export interface GateHold {
  readonly cause: (typeof GATE_CAUSES)[number];
  readonly reason: string | null;
}

/** Reasons are for people; a failure that put a backend into quarantine may be long. */
const MAX_REASON_CHARS = 500;

/** Everything that keeps a gate from being open; none when it is. */
export function gateHoldsOf({ isDrained, quarantine, emergency = null }: GateWish): readonly GateHold[] {
  const hold = (cause: GateHold['cause'], reason: string | null): GateHold => ({
    cause,
    reason: reason === null ? null : reason.slice(0, MAX_REASON_CHARS),
  });
  return [
    ...(emergency === null ? [] : [hold('emergency_stop', emergency)]),
    ...(quarantine === null ? [] : [hold('quarantine', quarantine)]),
    ...(isDrained ? [hold('drain', null)] : []),
  ];
}

/** The REST route that ends a hold. */
export function routeThatEnds({ cause }: GateHold, backendId: string): string {
  return cause === 'emergency_stop' ? 'POST /v1/resume' : `POST /v1/backends/${backendId}/resume`;
}

/** Why the gate of a backend is not open and what opens it, in plain words. */
export function gateInWords(
  ...[backendId, position, holds]: [string, Exclude<GatePosition, 'open'>, readonly GateHold[]]
): string {
  // A worker of an earlier version says no more than the position.
  if (holds.length === 0) return `${POSITION_WORDS[position]}: POST /v1/backends/${backendId}/resume ends that`;
  const told = holds.map((hold) => {
    const reason = hold.reason === null ? '' : ` (${hold.reason})`;
    return `${CAUSE_WORDS[hold.cause]}${reason}: ${routeThatEnds(hold, backendId)} ends that`;
  });
  return told.join('; ');
}

const POSITION_WORDS = { draining: 'drained', closed: 'in quarantine, or the service is stopped' } as const;

const CAUSE_WORDS: Readonly<Record<GateHold['cause'], string>> = {
  emergency_stop: 'stopped by an emergency stop',
  quarantine: 'in quarantine until its ComfyUI is restarted',
  drain: 'drained',
};

/** The wish behind a position, where only the position is known: the Workflow that knew the rest was terminated. */
export function gateWishOf(position: GatePosition): GateWish {
  const quarantine = position === 'closed' ? 'closed before its Workflow was ended' : null;
  return { isDrained: position === 'draining', quarantine };
}
