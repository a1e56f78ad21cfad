import { v5 } from 'uuid';

/** Namespace of our prompt ids. Changing it orphans every prompt that is being rendered. */
const PROMPT_NAMESPACE = '6d1c1f0e-3b52-5f0a-9a6e-5a3d0f6d9c41';

/**
 * The prompt id of one submission of a generation: the same after every crash, so that looking finds what was posted.
 * A lower-case UUID, which versions since mid 2026 insist on.
 */
export function promptIdOf(generationId: string, submission: number): string {
  return v5(`${generationId}/${submission}`, PROMPT_NAMESPACE);
}
