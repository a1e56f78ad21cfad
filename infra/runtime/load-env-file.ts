import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadEnvFile as load } from 'node:process';
import { projectRoot } from './project-root.js';

/** Adds the settings of `.env` to the environment; what is set already stays. */
export function loadEnvFile(): void {
  const path = join(projectRoot, '.env');
  if (existsSync(path)) load(path);
}
