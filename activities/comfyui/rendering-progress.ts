import { z } from 'zod';

/** What the websocket has told of one prompt so far. */
export interface RenderingProgress {
  readonly nodeCount: number;
  readonly nodeId: string | null;
  readonly step: number | null;
  readonly steps: number | null;
  /** 0 to 100; never falls. */
  readonly percent: number;
  readonly finishedNodes: ReadonlySet<string>;
  /** Nodes that reported steps. */
  readonly samplingNodes: ReadonlySet<string>;
  /** `execution_start` was seen. */
  readonly hasStarted: boolean;
  /** The run is over, one way or the other: time to poll. */
  readonly hasEnded: boolean;
  /** What the last node said that let nothing through; the run goes on without what comes after it. */
  readonly blocked: string | null;
}

/** Sampling is where the time goes: a node that reports steps weighs as much as this many that do not. */
const SAMPLING_WEIGHT = 20;

export const progressEventSchema = z.object({
  type: z.string(),
  data: z.looseObject({
    prompt_id: z.string().optional(),
    node: z.string().nullish(),
    nodes: z.union([z.array(z.string()), z.record(z.string(), z.looseObject({ state: z.string() }))]).optional(),
    value: z.number().optional(),
    max: z.number().optional(),
    node_id: z.string().optional(),
    node_type: z.string().optional(),
    exception_type: z.string().optional(),
    exception_message: z.string().optional(),
  }),
});
export type ProgressEvent = z.infer<typeof progressEventSchema>;

export function initialProgress(nodeCount: number): RenderingProgress {
  return {
    nodeCount,
    nodeId: null,
    step: null,
    steps: null,
    percent: 0,
    finishedNodes: new Set(),
    samplingNodes: new Set(),
    hasStarted: false,
    hasEnded: false,
    blocked: null,
  };
}

/** The progress after one event; types that ComfyUI or a custom node may add change nothing. */
export function applyEvent(before: RenderingProgress, { type, data }: ProgressEvent): RenderingProgress {
  switch (type) {
    case 'execution_start':
      return { ...before, hasStarted: true };
    case 'execution_cached':
      return withFinished(before, Array.isArray(data.nodes) ? data.nodes : []);
    case 'progress_state':
      return withFinished(before, finishedOf(data.nodes));
    case 'executing':
      // A null node is the last event of a run, sent after the history is written.
      if (data.node == null) return { ...before, hasEnded: true };
      return { ...before, hasStarted: true, nodeId: data.node, step: null, steps: null };
    case 'progress':
      return withPercent(withStep(before, data));
    case 'execution_error':
      // The one error that ends nothing; the history does not have it (ComfyUI 0.8.0, execution.py).
      if (data.exception_type === 'ExecutionBlocked') return { ...before, blocked: blockedBy(data) };
      return { ...before, hasEnded: true };
    case 'execution_interrupted':
      return { ...before, hasEnded: true };
    default:
      return before;
  }
}

function blockedBy(data: ProgressEvent['data']): string {
  return `Node ${data.node_id ?? 'unknown'} (${data.node_type ?? 'unknown'}): ${data.exception_message ?? 'Execution Blocked'}`;
}

function finishedOf(nodes: ProgressEvent['data']['nodes']): readonly string[] {
  if (nodes === undefined || Array.isArray(nodes)) return [];
  return Object.entries(nodes).flatMap(([nodeId, { state }]) => (state === 'finished' ? [nodeId] : []));
}

function withFinished(before: RenderingProgress, nodes: readonly string[]): RenderingProgress {
  return withPercent({ ...before, finishedNodes: new Set([...before.finishedNodes, ...nodes]) });
}

function withStep(before: RenderingProgress, data: ProgressEvent['data']): RenderingProgress {
  const nodeId = data.node ?? before.nodeId;
  const steps = data.max ?? null;
  const isSampling = nodeId !== null && steps !== null && steps > 1;
  const samplingNodes = isSampling ? new Set([...before.samplingNodes, nodeId]) : before.samplingNodes;
  return { ...before, nodeId, step: data.value ?? null, steps, samplingNodes };
}

function withPercent(progress: RenderingProgress): RenderingProgress {
  const { nodeId, step, steps, nodeCount, finishedNodes, samplingNodes } = progress;
  const finishedSampling = [...samplingNodes].filter((id) => finishedNodes.has(id)).length;
  const isSampling = nodeId !== null && samplingNodes.has(nodeId) && !finishedNodes.has(nodeId);
  const partly = isSampling && steps !== null && steps > 0 ? (step ?? 0) / steps : 0;
  const done = finishedNodes.size + SAMPLING_WEIGHT * (finishedSampling + partly);
  const total = Math.max(nodeCount, 1) + SAMPLING_WEIGHT * Math.max(samplingNodes.size, 1);
  return { ...progress, percent: Math.max(progress.percent, Math.min(100, Math.round((100 * done) / total))) };
}
