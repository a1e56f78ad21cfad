import { english } from './en.js';
import type { Messages } from './message-texts.js';
import { russian } from './ru.js';

/** A language more is a file more, and a line here; a file with a missing text does not compile. */
const MESSAGES = { en: english, ru: russian } as const satisfies Readonly<Record<string, Messages>>;

export type Language = keyof typeof MESSAGES;

export const LANGUAGES = Object.keys(MESSAGES) as readonly Language[];

export const DEFAULT_LANGUAGE: Language = 'en';

export function messagesIn(language: Language): Messages {
  return MESSAGES[language];
}
