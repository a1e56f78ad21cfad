import type { Request } from 'express';
import { ProblemError } from '../problem-error.js';

/** The id in the path; a malformed one names no generation, so it is answered like an unknown one. */
export function generationIdOf(req: Request): string {
  const id = req.params['id'];
  if (typeof id === 'string' && /^gen_[0-9a-f]{32}$/.test(id)) return id;
  throw generationNotFound();
}

export function generationNotFound(): ProblemError {
  return new ProblemError('generation_not_found', 'No generation has this id.');
}
