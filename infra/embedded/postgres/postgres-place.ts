import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { EmbeddedError } from '../embedded-error.js';
import type { ProcessAccount } from '../processes/process-spec.js';

/** A command as `spawn` takes it. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly account?: ProcessAccount;
}

/** Where PostgreSQL's programs and data lie, and how its programs are run. */
export interface PostgresPlace {
  readonly native: string;
  readonly folder: string;
  readonly account?: ProcessAccount;
  readonly commandFor: (program: 'initdb' | 'postgres', args: readonly string[]) => Command;
}

export interface PlaceRequest {
  readonly native: string;
  readonly folder: string;
  readonly say: (line: string) => void;
}

type Run = (command: string, args: readonly string[]) => Command;

/**
 * PostgreSQL refuses to run as root, so as root it runs as an existing unprivileged account. A checkout below a
 * private home (`/root`) is closed to that account: then it gets the one capability of reading through (Linux,
 * `setpriv`), and where that is not to be had, programs and data move to /var/lib.
 */
export function postgresPlace(request: PlaceRequest): PostgresPlace {
  const { native, folder } = request;
  if (process.getuid?.() !== 0) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return placeOf({ native, folder }, (command, args) => ({ command, args }));
  }
  const account = unprivilegedAccount(folder);
  const asAccount: Run = (command, args) => ({ command, args, account });
  const moved = join('/var/lib', `durable-comfy-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`);
  if (!existsSync(join(moved, 'postgres'))) {
    ownFolder(folder, account);
    const run = [asAccount, throughSetpriv(account)].find((each) => reaches(each, { native, folder }));
    if (run !== undefined) return placeOf({ native, folder, account }, run);
  }
  return movedPlace({ ...request, moved, account }, asAccount);
}

function placeOf(where: Omit<PostgresPlace, 'commandFor'>, run: Run): PostgresPlace {
  return { ...where, commandFor: (program, args) => run(join(where.native, 'bin', program), args) };
}

/** The owner of the data if it has one already, else `postgres` or `nobody`; never a new account. */
function unprivilegedAccount(folder: string): ProcessAccount {
  const owner = statSync(folder, { throwIfNoEntry: false })?.uid ?? 0;
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
  const found =
    accounts.find(({ uid }) => owner !== 0 && uid === owner) ??
    accounts.find(({ name }) => name === 'postgres') ??
    accounts.find(({ name }) => name === 'nobody');
  if (found !== undefined) return { uid: found.uid, gid: found.gid };
  throw new EmbeddedError(
    'PostgreSQL does not run as root, and there is neither an account "postgres" nor "nobody" to run it as. ' +
      'Either start as another user, or set DATABASE_URL to a PostgreSQL of your own.',
  );
}

/** `no_setuid_fixup` because PostgreSQL looks at its own program with access(2), which drops capabilities otherwise. */
function throughSetpriv({ uid, gid }: ProcessAccount): Run {
  const ids = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const reading = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  const options = [...ids, '--securebits=+no_setuid_fixup', ...reading, '--'];
  return (command, args) => ({ command: 'setpriv', args: [...options, command, ...args] });
}

function reaches(run: Run, where: { readonly native: string; readonly folder: string }): boolean {
  const program = join(where.native, 'bin', 'postgres');
  const { command, args, account } = run('/bin/sh', ['-c', 'cd "$0" && "$1" --version', where.folder, program]);
  return spawnSync(command, args, { ...account, cwd: '/', stdio: 'ignore' }).status === 0;
}

function movedPlace(request: PlaceRequest & { moved: string; account: ProcessAccount }, run: Run): PostgresPlace {
  const { moved, account } = request;
  const native = join(moved, 'native');
  const folder = join(moved, 'postgres');
  mkdirSync(moved, { recursive: true });
  chmodSync(moved, 0o755);
  if (!existsSync(native)) {
    rmSync(`${native}.new`, { recursive: true, force: true });
    cpSync(request.native, `${native}.new`, { recursive: true, verbatimSymlinks: true });
    renameSync(`${native}.new`, native);
  }
  ownFolder(folder, account);
  request.say(
    `PostgreSQL does not run as root, and no other account can read ${request.folder}: its data is in ${moved}`,
  );
  return placeOf({ native, folder, account }, run);
}

function ownFolder(folder: string, { uid, gid }: ProcessAccount): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (statSync(folder).uid !== uid) chownSync(folder, uid, gid);
}
