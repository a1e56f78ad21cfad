import { pino } from 'pino';
import type { Logger } from 'pino';
import { versionInfo } from './version.js';

export type { Logger } from 'pino';

/** Fields that may hold a secret; they are replaced before a line is written. */
const SECRET_FIELDS = ['*.authorization', '*.cookie', '*.apiKey', '*.password', '*.secretKey', '*.secretAccessKey'];

/**
 * One JSON line an event on standard error: standard output stays free for what a program is asked to print.
 * Fields first, sentence second: `logger.info({ generationId }, 'Accepted')`.
 */
export function createLogger(options: { readonly name: string; readonly level?: string }): Logger {
  return pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      base: { name: options.name, version: versionInfo.version, commit: versionInfo.commit },
      redact: { paths: SECRET_FIELDS, censor: '[secret]' },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
