import type { BatchPart } from '../domain/adaptation.js';
import type { GraphReference, StoredOutput } from './generation.js';

/** A prompt that nobody waits for any more, and that may have finished all the same. */
export interface LastPrompt {
  readonly backendId: string;
  readonly promptId: string;
  /** Of the graph that it renders. */
  readonly graphSha256: string;
}

/** What a generation that has failed leaves to the one that repeats it. */
export interface Resumption {
  /** The parts of its batch that are stored, as they were asked for. */
  readonly stored: readonly StoredOutput[];
  /** The parts that are left; empty where nothing is stored. */
  readonly left: readonly BatchPart[];
  /** What was being rendered. */
  readonly graph: GraphReference;
  readonly prompt: LastPrompt | null;
}

export interface InheritCheckpointInput {
  readonly generationId: string;
  /** The one that has failed. */
  readonly from: string;
}

/** Polled on `generation`. */
export interface CheckpointActivities {
  /** Copies the stored parts of another generation; `null` when there is nothing, or nothing any more. */
  readonly inheritCheckpoint: (input: InheritCheckpointInput) => Promise<Resumption | null>;
}

/** R5.3: what a recovery begins from. */
export interface Checkpoint extends RenderedSoFar {
  /** Of the graph that was being rendered. */
  readonly graphKey: string;
  /** Object keys of the parts of the batch that are stored. */
  readonly files: readonly string[];
}

/** Fact `rendered` of a failure of `awaitCompletion`. */
export interface RenderedSoFar {
  readonly percent: number;
  /** Ids of nodes that are done; at most 500. */
  readonly completedNodes: readonly string[];
}
