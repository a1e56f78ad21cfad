import { z } from 'zod';

/** Key in a prompt's `extra_data`, which ComfyUI keeps and shows in its queue and history. */
export const PROMPT_MARKER = 'durable_comfy';

export const promptMarkerSchema = z.object({ generationId: z.string(), submission: z.number().int() });

/** By this a worker knows its own prompts in a queue that others use, too. */
export type PromptMarker = z.infer<typeof promptMarkerSchema>;
