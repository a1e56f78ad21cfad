import type { Request, Response } from 'express';
import { DEFAULT_LANGUAGE, LANGUAGES } from './messages.js';
import type { Language } from './messages.js';

/** The language that the caller understands best (`Accept-Language`); says so in the answer, for caches, too. */
export function negotiateLanguage(req: Request, res: Response): Language {
  const accepted = req.acceptsLanguages([...LANGUAGES]);
  const language = LANGUAGES.find((known) => known === accepted) ?? DEFAULT_LANGUAGE;
  res.vary('Accept-Language').set('Content-Language', language);
  return language;
}
