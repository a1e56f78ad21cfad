/**
 * A prompt that this ComfyUI has finished and told. Its history lives in memory and holds 10 000 prompts (ComfyUI 0.8.0,
 * execution.py), so one that is not in it any more tells of a restart that nobody saw.
 */
export class HistoryCanary {
  #promptId: string | null = null;
  #inherited: string | null = null;
  #gone: string | null = null;

  /** `null` before the first. */
  get promptId(): string | null {
    return this.#promptId;
  }

  /** What an earlier worker saw there, until somebody has looked whether it is still there. */
  get inherited(): string | null {
    return this.#inherited;
  }

  /** The inherited one that was not there any more. */
  get gone(): string | null {
    return this.#gone;
  }

  finished(promptId: string): void {
    this.#promptId = promptId;
  }

  inherit(promptId: string | null): void {
    this.#inherited = promptId;
  }

  looked({ isThere }: { readonly isThere: boolean }): void {
    if (isThere) this.#promptId ??= this.#inherited;
    else this.#gone = this.#inherited;
    this.#inherited = null;
  }

  /** It was of a ComfyUI that is gone. */
  forget(): void {
    this.#promptId = null;
  }
}
