import { z } from 'zod';
import { wholeNumberWords } from './whole-number.js';

const MAX_HOURS = 8_760;
const words = `must be ${wholeNumberWords(1, MAX_HOURS)}`;

/** A day unless told, a year at most. */
export const hoursQuerySchema = z.strictObject({
  hours: z.coerce.number(words).int(words).min(1, words).max(MAX_HOURS, words).default(24),
});
