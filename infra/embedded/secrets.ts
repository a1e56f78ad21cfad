import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { DataFolder } from './data-folder.js';

const secretsSchema = z.object({
  postgresPassword: z.string(),
  minioUser: z.string(),
  minioPassword: z.string(),
});

/** Credentials of the servers on loopback: any local user can reach them, so they are random, never defaults. */
export type Secrets = Readonly<z.infer<typeof secretsSchema>>;

/** Made once for each data folder, readable by its owner only. */
export function secretsOf(folder: DataFolder): Secrets {
  const path = folder.path('secrets.json');
  if (existsSync(path)) return secretsSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  const secrets: Secrets = { postgresPassword: random(), minioUser: 'durable-comfy', minioPassword: random() };
  writeFileSync(`${path}.new`, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  renameSync(`${path}.new`, path); // never half a file: the databases keep these passwords for good
  return secrets;
}

function random(): string {
  return randomBytes(24).toString('hex');
}
