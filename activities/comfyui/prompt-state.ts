import { z } from 'zod';
import type { OutputReference } from '../../workflows/contracts/activities.js';
import { NotComfyUIError } from './errors.js';
import type { ExecutionFailedError } from './errors.js';
import { outputReferencesOf } from './output-references.js';

/** Where a prompt is. `absent` is neither failure nor success: it may appear, be lost, or never have been there. */
export type PromptState =
  | { readonly status: 'absent' }
  | { readonly status: 'pending' }
  | { readonly status: 'running' }
  | { readonly status: 'interrupted' }
  | { readonly status: 'failed'; readonly error: ExecutionFacts }
  | { readonly status: 'succeeded'; readonly finished: FinishedPrompt };

export type ExecutionFacts = ConstructorParameters<typeof ExecutionFailedError>[0];

export interface FinishedPrompt {
  readonly outputs: readonly OutputReference[];
  /** Texts by node id, as the history holds them. */
  readonly texts: Readonly<Record<string, readonly string[]>>;
  readonly startedAtMs: number | null;
  /** A node has reported something, if only a preview. */
  readonly hasReported: boolean;
}

const messageSchema = z.tuple([z.string(), z.looseObject({ timestamp: z.number().optional() })]);
const outputsSchema = z.record(z.string(), z.record(z.string(), z.unknown()));
/** The same three facts under different names: `/history/{id}` says `status`, `/api/jobs/{id}` says `execution_status`. */
const recordSchema = z.object({
  outputs: outputsSchema.optional(),
  status: z.object({ messages: z.array(messageSchema) }),
});
const errorSchema = z.looseObject({
  node_id: z.union([z.string(), z.number()]).optional(),
  node_type: z.string().optional(),
  exception_type: z.string().optional(),
  exception_message: z.string().optional(),
  traceback: z.array(z.string()).optional(),
});

/**
 * The state of a finished prompt, from its messages: `status_str` alone cannot tell an interruption from an error, and a
 * cycle found at run time leaves a stale `success` (ComfyUI 0.8.0, execution.py).
 */
export function finishedStateOf(record: unknown): PromptState {
  const parsed = recordSchema.safeParse(record);
  if (!parsed.success)
    throw new NotComfyUIError(`A finished prompt is not told as ComfyUI does: ${z.prettifyError(parsed.error)}`);
  const { outputs, status } = parsed.data;
  const timeOf = (type: string) => status.messages.find(([name]) => name === type)?.[1].timestamp ?? null;
  const failure = status.messages.findLast(([name]) => name === 'execution_error');
  const last = status.messages.findLast(([name]) => /^execution_(success|error|interrupted)$/.test(name));
  if (last?.[0] === 'execution_interrupted') return { status: 'interrupted' };
  if (last?.[0] === 'execution_success') {
    const texts = textsOf(outputs ?? {});
    return {
      status: 'succeeded',
      finished: {
        outputs: outputReferencesOf(outputs ?? {}, texts),
        texts,
        startedAtMs: timeOf('execution_start'),
        hasReported: Object.keys(outputs ?? {}).length > 0,
      },
    };
  }
  return { status: 'failed', error: executionFactsOf(failure?.[1]) };
}

/** Facts of an `execution_error` message or event; an empty message falls back to the type (MemoryError has none). */
export function executionFactsOf(message: unknown): ExecutionFacts {
  const facts = errorSchema.safeParse(message).data ?? {};
  return {
    nodeId: String(facts.node_id ?? 'unknown'),
    nodeType: facts.node_type ?? 'unknown',
    exceptionType: facts.exception_type ?? 'unknown',
    exceptionMessage: (facts.exception_message ?? '').trim(),
    lastTracebackLine: (facts.traceback?.at(-1) ?? '').trim(),
  };
}

function textsOf(outputs: z.infer<typeof outputsSchema>): Readonly<Record<string, readonly string[]>> {
  const entries = Object.entries(outputs).map(([nodeId, byKey]) => {
    const texts = z.array(z.unknown()).safeParse(byKey['text']).data ?? [];
    return [nodeId, texts.filter((text) => typeof text === 'string')] as const;
  });
  return Object.fromEntries(entries.filter(([, texts]) => texts.length > 0));
}
