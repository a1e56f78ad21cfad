import { isFailureKind } from '../../workflows/domain/failure.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import { STRATEGIES } from '../messages/message-texts.js';
import { messagesIn } from '../messages/messages.js';
import type { Language } from '../messages/messages.js';
import type { GenerationView } from '../schemas/generation-view.js';
import type { JobStatusView } from '../schemas/error-recovery.js';
import { errorKeyOf } from './error-keys.js';

/** A generation in the words of R5.10. */
export function jobStatusView(
  generation: GenerationView,
  { availableCheckpoints, language }: { readonly availableCheckpoints: number; readonly language: Language },
): JobStatusView {
  const { attempts, error, outputs, status } = generation;
  return {
    success: true,
    job_id: generation.id,
    data: {
      status: lowerCase(status),
      progress: generation.progress?.percent ?? (status === 'COMPLETED' ? 100 : 0),
      retry_count: attempts.length,
      recovery_history: attempts.map(({ attempt, kind, strategy, message, rule, success, createdAt }) => ({
        attempt,
        message: historyMessage({ kind, strategy, message, rule }, language),
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

/** R5.10 wants these words of English. */
function historyMessage(
  { kind, strategy, message, rule }: Pick<GenerationView['attempts'][number], 'kind' | 'strategy' | 'message' | 'rule'>,
  language: Language,
): string {
  if (!isFailureKind(kind)) return message;
  const { strategies, recovered, byRule } = messagesIn(language);
  const known = STRATEGIES.find((each) => each === strategy);
  if (known === undefined) return recovered({ done: message, from: errorKeyOf(kind) });
  const text = recovered({ done: strategies[known], from: errorKeyOf(kind) });
  return rule === null ? text : byRule({ text, rule });
}

function lowerCase<Text extends string>(text: Text): Lowercase<Text> {
  return text.toLowerCase() as Lowercase<Text>;
}
