import { isFailureKind } from '../../workflows/domain/failure.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import type { GenerationView } from '../schemas/generation-view.js';
import type { JobStatusView } from '../schemas/error-recovery.js';
import { errorKeyOf } from './error-keys.js';

/** What was done, by the name of the strategy. */
const WORDS: Readonly<Record<string, string>> = {
  free_memory: 'Freed memory',
  free_all: 'Freed memory and cache',
  split_batch: 'Split batch',
  tiled_decode: 'Decoded in tiles',
  reduce_params: 'Reduced parameters',
  switch_model: 'Switched model',
  other_backend: 'Switched backend',
  clean_up: 'Removed old files',
  resubmit: 'Submitted again',
  wait_and_resubmit: 'Waited and submitted again',
  resume: 'Resumed from checkpoint',
  take_over: 'Took over',
  rediscover: 'Looked for a backend again',
  retry: 'Tried again',
  download_again: 'Downloaded again',
  render_again: 'Rendered again',
  fal: 'Switched to fal.ai',
};

/** A generation in the words of R5.10. */
export function jobStatusView(generation: GenerationView, availableCheckpoints: number): JobStatusView {
  const { attempts, error, outputs, status } = generation;
  return {
    success: true,
    job_id: generation.id,
    data: {
      status: lowerCase(status),
      progress: generation.progress?.percent ?? (status === 'COMPLETED' ? 100 : 0),
      retry_count: attempts.length,
      recovery_history: attempts.map(({ attempt, kind, strategy, message, success, createdAt }) => ({
        attempt,
        message: isFailureKind(kind) ? `${WORDS[strategy] ?? message} for ${errorKeyOf(kind)}` : message,
        success,
        timestamp: createdAt,
      })),
      recovery_status: {
        total_attempts: attempts.length,
        successful_attempts: attempts.filter(({ success }) => success === true).length,
        available_checkpoints: availableCheckpoints,
      },
      result: isTerminal(status)
        ? {
            success: status === 'COMPLETED',
            output_files: outputs.map(({ url }) => url),
            recovery_used: attempts.length > 0,
            error_message: error?.detail ?? null,
          }
        : null,
    },
  };
}

function lowerCase<Text extends string>(text: Text): Lowercase<Text> {
  return text.toLowerCase() as Lowercase<Text>;
}
