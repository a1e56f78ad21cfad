/**
 * A prompt that this ComfyUI has finished and told. Its history lives in memory and holds 10 000 prompts (ComfyUI 0.8.0,
 * execution.py), so one that is not in it any more tells of a restart that nobody saw.
 */
export class HistoryCanary {
  #promptId: string | null = null;

  /** `null` before the first. */
  get promptId(): string | null {
    return this.#promptId;
  }

  finished(promptId: string): void {
    this.#promptId = promptId;
  }

  /** It was of a ComfyUI that is gone. */
  forget(): void {
    this.#promptId = null;
  }
}
