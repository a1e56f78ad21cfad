import type { BackendActivities } from '../workflows/contracts/activities.js';
import { BackendCrashedError, ZombieBackendError } from './comfyui/errors.js';
import { PromptWatch } from './comfyui/prompt-watch.js';
import type { PromptWatchDeps } from './comfyui/prompt-watch.js';
import type { OperatorRule } from './failures/operator-rules.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatOnNews } from './heartbeat-while.js';

export interface AwaitCompletionDeps extends PromptWatchDeps {
  /** Of the operators, before the built-in ones. */
  readonly rules: readonly OperatorRule[];
}

export function createAwaitCompletion(deps: AwaitCompletionDeps): BackendActivities['awaitCompletion'] {
  /** Safe to retry: it only observes. A new attempt, on this worker or on its successor, watches the same prompt. */
  return async function awaitCompletion(input) {
    const watch = new PromptWatch(deps, input);
    try {
      return await heartbeatOnNews(
        async () => watch.untilFinished(),
        () => watch.heartbeat(),
      );
    } catch (error) {
      throw toApplicationFailure(error, {
        facts: { rendered: watch.rendered, ...wasRunning(watch, error) },
        rules: deps.rules,
      });
    } finally {
      watch.close();
    }
  };
}

/** Of a crash alone: of a zombie the worker thread had died before this prompt came to its turn. */
function wasRunning(watch: PromptWatch, error: unknown): { readonly wasRunning?: boolean } {
  if (error instanceof ZombieBackendError) return { wasRunning: false };
  return error instanceof BackendCrashedError ? { wasRunning: watch.wasRunning } : {};
}
