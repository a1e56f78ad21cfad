import type { MediaFault } from '../../workflows/domain/media-signature.js';

/** One output that is not what it must be. */
export interface OutputVerdict {
  readonly index: number;
  readonly fault: MediaFault;
  readonly detail: string;
}

/** At least one output of a prompt cannot be delivered; names each with its fault. */
export class OutputInvalidError extends Error {
  override readonly name = 'OutputInvalidError';
  readonly verdicts: readonly OutputVerdict[];

  constructor(verdicts: readonly OutputVerdict[]) {
    super(verdicts.map(({ index, fault, detail }) => `output ${index} is invalid (${fault}): ${detail}`).join('; '));
    this.verdicts = verdicts;
  }
}
