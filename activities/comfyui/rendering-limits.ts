import { log } from '@temporalio/activity';
import type { AwaitCompletionInput } from '../../workflows/contracts/activities.js';
import { RenderingTimeoutError } from './errors.js';
import type { ProgressSocket } from './progress-socket.js';
import { StallWatch } from './stall-watch.js';

/** How long one rendering may take, and how long it may stand still. */
export class RenderingLimits {
  readonly #input: Pick<AwaitCompletionInput, 'promptId' | 'renderSeconds' | 'stallSeconds'>;
  readonly #stall: StallWatch;

  constructor(input: Pick<AwaitCompletionInput, 'promptId' | 'renderSeconds' | 'stallSeconds'>) {
    this.#input = input;
    this.#stall = new StallWatch(input.stallSeconds, performance.now());
  }

  /** What was not rendering until now, or could not be seen, has not stood still. */
  restart(): void {
    this.#stall.restart(performance.now());
  }

  /**
   * To be called right after a look that found the prompt unfinished: what finished late is used, not thrown away (R3.5).
   * Throws `RenderingTimeoutError`.
   */
  enforce(runningSinceMs: number, socket: ProgressSocket): void {
    const { promptId, renderSeconds, stallSeconds } = this.#input;
    const renderedSeconds = (Date.now() - runningSinceMs) / 1_000;
    if (renderedSeconds > renderSeconds) {
      throw new RenderingTimeoutError('render', `Rendering took longer than its limit of ${renderSeconds} s`);
    }
    const advice = this.#stall.advise(socket.progress(), socket.framesSinceConnect(), performance.now());
    if (advice === 'probe') {
      log.warn('Rendering stands still; asking over a fresh websocket', { promptId });
      socket.reconnect();
    }
    if (advice === 'stalled') {
      throw new RenderingTimeoutError('stall', `Rendering stood still for more than ${stallSeconds} s`);
    }
  }
}
