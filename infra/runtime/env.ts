/** The environment as a value: read in a composition root, passed on ([BOUND5]). */
export type Env = Readonly<Record<string, string | undefined>>;

/** A setting that cannot be used: names the variable, what it holds and what is allowed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** The value, or the default when the variable is unset or empty. */
export function stringFrom(env: Env, name: string, fallback: string): string {
  const value = env[name];
  return value === undefined || value === '' ? fallback : value;
}

/** A whole number within bounds, or the default when the variable is unset or empty. */
export function integerFrom(
  env: Env,
  name: string,
  range: { readonly fallback: number; readonly min: number; readonly max: number },
): number {
  const text = env[name];
  if (text === undefined || text === '') return range.fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < range.min || value > range.max) {
    throw new ConfigError(`${name} is "${text}", but must be a whole number from ${range.min} to ${range.max}`);
  }
  return value;
}

/** A number within bounds, or the default when the variable is unset or empty. */
export function numberFrom(
  env: Env,
  name: string,
  range: { readonly fallback: number; readonly min: number; readonly max: number },
): number {
  const text = env[name];
  if (text === undefined || text === '') return range.fallback;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= range.min && value <= range.max) return value;
  throw new ConfigError(`${name} is "${text}", but must be a number from ${range.min} to ${range.max}`);
}

/** `true` or `false` (also `on`/`off`, `1`/`0`), or the default when the variable is unset or empty. */
export function booleanFrom(env: Env, name: string, fallback: boolean): boolean {
  const text = env[name]?.toLowerCase();
  if (text === undefined || text === '') return fallback;
  if (['true', 'on', '1', 'yes'].includes(text)) return true;
  if (['false', 'off', '0', 'no'].includes(text)) return false;
  throw new ConfigError(`${name} is "${text}", but must be on or off`);
}
