import { v7 as uuidv7 } from 'uuid';

/** Grows with time, so that rows and pages come in the order of acceptance. */
export function newGenerationId(): string {
  return `gen_${uuidv7().replaceAll('-', '')}`;
}
