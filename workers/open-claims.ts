/** A claim whose submission never began here (the Workflow was cancelled, or its worker died) stops counting. */
const CLAIM_LIFE_MS = 15_000;

/** Claims of one backend between their answer and the prompt's place in ComfyUI's queue. */
export class OpenClaims {
  readonly #onSettled: () => void;
  /** With the time when they stop counting. */
  readonly #claims = new Map<string, { readonly endsAt: number }>();

  constructor(onSettled: () => void) {
    this.#onSettled = onSettled;
  }

  /** A claim was made here; its submission is expected on this worker. */
  claimed(generationId: string): void {
    this.#claims.set(generationId, { endsAt: Date.now() + CLAIM_LIFE_MS });
  }

  /**
   * The submission has begun: it counts for as long as it takes. To be called when it is over, the prompt being in
   * ComfyUI's queue or not; an attempt that was left behind does not end the claim of the one that follows it.
   */
  submitting(generationId: string): () => void {
    const claim = { endsAt: Number.POSITIVE_INFINITY };
    this.#claims.set(generationId, claim);
    return () => {
      if (this.#claims.get(generationId) !== claim) return;
      this.#claims.delete(generationId);
      this.#onSettled();
    };
  }

  count(): number {
    const now = Date.now();
    for (const [generationId, { endsAt }] of this.#claims) {
      if (endsAt < now) this.#claims.delete(generationId);
    }
    return this.#claims.size;
  }
}
