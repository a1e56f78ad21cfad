import type { MediaFault } from '../../workflows/domain/media-signature.js';

/** One output that is not what it must be. */
export interface OutputVerdict {
  readonly index: number;
  readonly fault: MediaFault;
  readonly detail: string;
}

/** A node that works on a face has passed the picture through, without a word: it found none. */
export class FaceNotFoundError extends Error {
  override readonly name = 'FaceNotFoundError';

  constructor() {
    super('No face detected: what came out is the picture that went in, pixel by pixel.');
  }
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
