/** A condition of a fault, or what it does; which kind has which is in FAULT_KINDS. */
export interface FaultFields {
  /** Fires only at nodes of this class, or of one of these. */
  readonly nodeType?: string | readonly string[];
  readonly promptId?: string;
  /** 1-based sampling step; absent = before the node starts. */
  readonly atStep?: number;
  /** How many times longer a step takes. */
  readonly factor?: number;
  readonly text?: OomText;
  readonly exceptionType?: string;
  readonly exceptionMessage?: string;
  /** The worker dies once the prompt is over, not in it. */
  readonly afterPrompt?: boolean;
  /** The prompt is back in the queue, and is then rendered; absent = never. */
  readonly returnsAfterMs?: number;
  readonly afterMs?: number;
  readonly delayMs?: number;
  readonly durationMs?: number;
  readonly frames?: number;
  readonly gib?: number;
  readonly filename?: string;
  /** Requests whose path begins so, with or without /api. */
  readonly path?: string;
  readonly method?: string;
}

export type FaultField = keyof FaultFields;

/** `torch`: ComfyUI's own allocator; `cuda`: PyTorch's; `driver`: what 0.8.0 does not recognise as out of memory. */
export const OOM_TEXTS = ['torch', 'cuda', 'driver'] as const;
export type OomText = (typeof OOM_TEXTS)[number];

interface KindFacts {
  readonly does: string;
  readonly fields: readonly (FaultField | 'count')[];
  readonly required?: readonly FaultField[];
  readonly defaults?: FaultFields;
}

const WHERE = ['nodeType', 'promptId', 'atStep', 'count'] as const;
const REQUEST = ['path', 'method', 'durationMs', 'count'] as const;

/** Everything that can go wrong, with the fields of its JSON and what they are when absent. */
export const FAULT_KINDS = {
  crash: { does: 'the process dies of SIGKILL', fields: WHERE },
  hang: { does: 'the node never ends; only a restart helps', fields: WHERE },
  slow: {
    does: 'the steps of a node take longer, at every node',
    fields: ['nodeType', 'promptId', 'count', 'factor'],
    defaults: { factor: 10 },
  },
  vanish: { does: 'the prompt is in neither queue nor history', fields: [...WHERE, 'returnsAfterMs'] },
  zombie: { does: 'the only worker dies while HTTP goes on', fields: [...WHERE, 'afterPrompt'] },
  oom: { does: 'a GPU node runs out of memory', fields: [...WHERE, 'text'], defaults: { text: 'torch' } },
  poison: { does: 'from here on every GPU node fails, until a restart', fields: ['nodeType', 'promptId', 'atStep'] },
  host_oom: { does: 'a loader runs out of RAM', fields: WHERE },
  environment: { does: 'a GPU node has no kernel for this card', fields: WHERE },
  model_corrupt: { does: 'a loader finds a file cut off', fields: WHERE },
  no_face: { does: 'a node finds no face', fields: WHERE },
  disk_full: { does: 'a save node, or an upload, finds no space', fields: WHERE },
  node_error: {
    does: 'a node raises this exception',
    fields: [...WHERE, 'exceptionType', 'exceptionMessage'],
    required: ['exceptionType', 'exceptionMessage'],
  },
  model_removed: {
    does: 'the file is gone when its loader runs, and from /object_info',
    fields: ['nodeType', 'promptId', 'filename', 'count'],
  },
  blocked: {
    does: 'the node and all after it do not run, yet the prompt succeeds',
    fields: ['nodeType', 'promptId', 'exceptionMessage', 'count'],
  },
  evict_history: {
    does: 'the entry disappears from the history',
    fields: ['promptId', 'afterMs', 'count'],
    defaults: { afterMs: 0 },
  },
  vram_held: { does: 'memory of the card is lost until POST /free', fields: [...WHERE, 'gib'], defaults: { gib: 4 } },
  slow_rest: {
    does: 'requests are answered late, and only then heeded',
    fields: [...REQUEST, 'delayMs'],
    defaults: { delayMs: 2_000 },
  },
  login_page: { does: 'a proxy answers 200 with a page', fields: REQUEST },
  unauthorized: { does: 'a proxy answers 401', fields: REQUEST },
  forbidden: { does: 'a proxy answers 403', fields: REQUEST },
  nan_json: { does: 'graphs in /history and /queue carry a bare NaN', fields: REQUEST },
  ws_stall: {
    does: 'WebSocket frames are held back, then come at once',
    fields: [...WHERE, 'durationMs'],
    defaults: { durationMs: 2_000 },
  },
  outage: {
    does: 'every connection is reset, and new ones are refused for a while',
    fields: [...WHERE, 'durationMs'],
    defaults: { durationMs: 2_000 },
  },
  ws_burst: {
    does: 'every WebSocket gets many frames of an unknown type at once',
    fields: [...WHERE, 'frames'],
    defaults: { frames: 1_000 },
  },
} as const satisfies Readonly<Record<string, KindFacts>>;

export type FaultKind = keyof typeof FAULT_KINDS;

/** An armed fault: fires where everything it names matches, `count` times. */
export interface Fault extends FaultFields {
  readonly kind: FaultKind;
  /** How often it still fires. */
  count: number;
}

export function factsOf(kind: FaultKind): KindFacts {
  return FAULT_KINDS[kind];
}

export function isFaultKind(value: unknown): value is FaultKind {
  return typeof value === 'string' && Object.hasOwn(FAULT_KINDS, value);
}
