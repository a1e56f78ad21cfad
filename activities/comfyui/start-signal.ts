import { getClient, log } from '@temporalio/activity';
import type { AwaitCompletionInput } from '../../workflows/contracts/activities.js';
import { generationWorkflowId, startedSignal } from '../../workflows/contracts/generation.js';

/** Tells the Workflow, once, that a prompt which was pending on ComfyUI has begun to render. */
export class StartSignal {
  readonly #input: Pick<AwaitCompletionInput, 'generationId' | 'promptId' | 'signalsStart'>;
  #hasSignalled = false;

  constructor(input: Pick<AwaitCompletionInput, 'generationId' | 'promptId' | 'signalsStart'>) {
    this.#input = input;
  }

  async send(startedAtMs: number): Promise<void> {
    const { generationId, promptId, signalsStart } = this.#input;
    if (!signalsStart || this.#hasSignalled) return;
    const handle = getClient().workflow.getHandle(generationWorkflowId(generationId));
    try {
      await handle.signal(startedSignal, { promptId, startedAtMs });
      this.#hasSignalled = true;
    } catch (error) {
      // Only the status waits for it; the rendering must not end for it.
      log.warn('Could not say that rendering has begun; trying again at the next look', { promptId, error });
    }
  }
}
