import { pino } from 'pino';
import type { Logger } from 'pino';
import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';
import { versionInfo } from './version.js';

export type { Logger } from 'pino';

/** Fields that may hold a secret; they are replaced before a line is written. */
const SECRET_FIELDS = ['*.authorization', '*.cookie', '*.apiKey', '*.password', '*.secretKey', '*.secretAccessKey'];

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
type LogLevel = (typeof LEVELS)[number];

/** `LOG_LEVEL`, `info` when unset. */
export function logLevelFrom(env: Env): LogLevel {
  const text = stringFrom(env, 'LOG_LEVEL', 'info');
  const level = LEVELS.find((known) => known === text);
  if (level === undefined) throw new ConfigError(`LOG_LEVEL is "${text}", but must be one of ${LEVELS.join(', ')}`);
  return level;
}

/**
 * One JSON line an event on standard error: standard output stays free for what a program is asked to print.
 * Fields first, sentence second: `logger.info({ generationId }, 'Accepted')`.
 */
export function createLogger(options: { readonly name: string; readonly level?: LogLevel }): Logger {
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
