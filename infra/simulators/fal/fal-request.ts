/** `owner/app`, under which fal keeps a request whatever the path behind it. */
export interface FalModel {
  readonly owner: string;
  readonly app: string;
  /** What follows in the model's id, for example `dev`; empty for none. */
  readonly path: string;
}

export interface FalFileFacts {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly contentType: string;
  readonly bytes: number;
}

/** How a request ended: what its result answers. */
export type FalOutcome =
  | {
      readonly kind: 'succeeded';
      readonly files: readonly FalFileFacts[];
      readonly seed: number;
      readonly prompt: string;
    }
  /** The model refused its input: fal tells it with the result alone. */
  | { readonly kind: 'refused'; readonly detail: readonly FalDetail[] }
  /** fal itself failed, or the request was cancelled: the status says so, too. */
  | { readonly kind: 'failed'; readonly status: number; readonly errorType: string; readonly detail: string };

export interface FalDetail {
  readonly loc: readonly string[];
  readonly msg: string;
  readonly type: string;
}

/**
 * One request, in the states IN_QUEUE → IN_PROGRESS → COMPLETED; a failure and a cancellation end in COMPLETED, too.
 * What is on disk outlives the process, as fal's queue outlives a runner: what was in progress waits again.
 */
export interface FalRequest {
  readonly id: string;
  readonly model: FalModel;
  readonly input: Readonly<Record<string, unknown>>;
  readonly submittedAt: string;
  status: 'IN_QUEUE' | 'IN_PROGRESS' | 'COMPLETED';
  logs: readonly { readonly timestamp: string; readonly level: string; readonly message: string }[];
  inferenceSeconds: number | null;
  outcome: FalOutcome | null;
}

/** As fal's own addresses have it: the path of the model is not part of them. */
export function requestPath({ id, model }: FalRequest): string {
  return `/${model.owner}/${model.app}/requests/${id}`;
}
