import { z } from 'zod';
import { wholeNumberText } from './whole-number.js';

/** A day unless told, a year at most. */
export const hoursQuerySchema = z.strictObject({
  hours: wholeNumberText(1, 8_760).default(24),
});
