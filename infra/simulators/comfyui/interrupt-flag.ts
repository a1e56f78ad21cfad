/**
 * One flag for the whole process (ComfyUI 0.8.0, model_management.py): set by POST /interrupt, read before each node
 * and at each reported step, cleared when a prompt starts. Reading it also clears it.
 */
export class InterruptFlag {
  #raised = false;

  raise(): void {
    this.#raised = true;
  }

  clear(): void {
    this.#raised = false;
  }

  throwIfRaised(): void {
    if (!this.#raised) return;
    this.#raised = false;
    throw new InterruptedPrompt();
  }
}

export class InterruptedPrompt extends Error {
  override readonly name = 'InterruptedPrompt';
}
