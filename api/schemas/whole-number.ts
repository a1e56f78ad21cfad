import { givenInstead } from '../../infra/runtime/kind-of-value.js';
import { z } from './openapi-zod.js';

/** A whole number whose every complaint names both ends of the range; zod alone names only the one that was crossed. */
export function wholeNumber(min: number, max: number): z.ZodInt {
  const error = ({ input }: { readonly input?: unknown }) =>
    `must be ${wholeNumberWords(min, max)}${givenInstead(input, 'a number')}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function wholeNumberWords(min: number, max: number): string {
  return `a whole number from ${min} to ${max}`;
}

/** The same in the query of an address. */
export function wholeNumberText(min: number, max: number): z.ZodCoercedNumber {
  const words = `must be ${wholeNumberWords(min, max)}`;
  return z.coerce.number(words).int(words).min(min, words).max(max, words);
}
