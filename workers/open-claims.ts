/** A claim whose submission never began here (the Workflow was cancelled, or its worker died) stops counting. */
const CLAIM_LIFE_MS = 15_000;

/** A generation that failed here and may be tried again takes the GPU back at once; its Workflow needs some hops for that. */
const KEPT_MS = 5_000;
/** A look takes some milliseconds; the history of a slow server comes up to 300 ms late. */
const ENDING_MS = 1_000;

interface OpenClaim {
  /** When it stops counting. */
  readonly endsAt: number;
  /** A place for a claim that is still to come. */
  readonly isKept?: boolean;
}

/** Claims of one backend between their answer and the prompt's place in ComfyUI's queue. */
export class OpenClaims {
  readonly #onSettled: () => void;
  readonly #claims = new Map<string, OpenClaim>();

  constructor(onSettled: () => void) {
    this.#onSettled = onSettled;
  }

  /** A claim was made here; its submission is expected on this worker. */
  claimed(generationId: string): void {
    this.#claims.set(generationId, { endsAt: Date.now() + CLAIM_LIFE_MS });
  }

  /**
   * ComfyUI says that the run is over, and its result is being looked at: until that is known the place is not given
   * away. To be called when it is.
   */
  ending(generationId: string): () => void {
    return this.#opened(generationId, Date.now() + ENDING_MS);
  }

  /** The next try of the generation is expected here. */
  kept(generationId: string): void {
    this.#claims.set(generationId, { endsAt: Date.now() + KEPT_MS, isKept: true });
  }

  /** It does not come, or could not claim; one that has come meanwhile stays. */
  dropped(generationId: string): void {
    if (this.#claims.get(generationId)?.isKept !== true) return;
    this.#claims.delete(generationId);
    this.#onSettled();
  }

  /**
   * The submission has begun: it counts for as long as it takes. To be called when it is over, the prompt being in
   * ComfyUI's queue or not; an attempt that was left behind does not end the claim of the one that follows it.
   */
  submitting(generationId: string): () => void {
    return this.#opened(generationId, Number.POSITIVE_INFINITY);
  }

  count(): number {
    const now = Date.now();
    for (const [generationId, { endsAt }] of this.#claims) {
      if (endsAt < now) this.#claims.delete(generationId);
    }
    return this.#claims.size;
  }

  #opened(generationId: string, endsAt: number): () => void {
    const claim: OpenClaim = { endsAt };
    this.#claims.set(generationId, claim);
    return () => {
      if (this.#claims.get(generationId) !== claim) return;
      this.#claims.delete(generationId);
      this.#onSettled();
    };
  }
}
