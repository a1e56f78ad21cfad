import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { z } from 'zod';
import type { DataFolder } from './data-folder.js';
import { EmbeddedError } from './embedded-error.js';

/** Where each part listens unless that port is taken. */
export const DEFAULT_PORTS = {
  postgres: 5433, // not 5432: a PostgreSQL of one's own is often there
  temporal: 7233,
  temporalUi: 8233,
  minio: 9000,
  versitygw: 9000, // never both
  api: 8328,
  comfyui: 8188,
} as const;

export type PortName = keyof typeof DEFAULT_PORTS;

const WORDS: Readonly<Record<PortName, string>> = {
  postgres: 'PostgreSQL',
  temporal: 'Temporal',
  temporalUi: "Temporal's Web UI",
  minio: 'MinIO',
  versitygw: 'versitygw',
  api: 'the API',
  comfyui: 'the simulator',
};
export type Ports = Readonly<Record<PortName, number>>;

export interface PortChoice {
  readonly folder: DataFolder;
  /** What the user asked for; it goes before what is remembered. */
  readonly wanted: Partial<Ports>;
  /** Where a part listens when nothing is said; `DEFAULT_PORTS` but in tests. */
  readonly usual?: Partial<Ports>;
  /** Tests take any free port and leave the well-known ones alone. */
  readonly anyFree: boolean;
  readonly say: (line: string) => void;
}

const rememberedSchema = z.record(z.string(), z.number().int());
const PORTS_TRIED = 200;

/**
 * A port for each named part: the one that is asked for, else its usual one, else that of the last start, else the next
 * that is free. What is asked for and taken is an error: moving it silently would be another service than asked for.
 */
export async function choosePorts(names: readonly PortName[], choice: PortChoice): Promise<Partial<Ports>> {
  const path = choice.folder.path('ports.json');
  const remembered = existsSync(path) ? rememberedSchema.parse(JSON.parse(readFileSync(path, 'utf8'))) : {};
  const chosen: Partial<Record<PortName, number>> = {};
  for (const name of names) {
    const port = await portFor(name, { ...choice, remembered: remembered[name], exclude: Object.values(chosen) });
    chosen[name] = port;
  }
  writeFileSync(path, JSON.stringify({ ...remembered, ...chosen }, null, 2));
  return chosen;
}

async function portFor(
  name: PortName,
  choice: PortChoice & { readonly remembered: number | undefined; readonly exclude: readonly number[] },
): Promise<number> {
  const { wanted, remembered, exclude, anyFree, say } = choice;
  const asked = wanted[name];
  if (asked !== undefined) {
    if (await isFree(asked)) return asked;
    throw new EmbeddedError(
      `Port ${asked} was asked for as the port of ${WORDS[name]}, but something listens there already`,
    );
  }
  if (anyFree) return freePortFrom(remembered ?? 0, exclude);
  const usual = choice.usual?.[name] ?? DEFAULT_PORTS[name];
  if (!exclude.includes(usual) && (await isFree(usual))) return usual;
  const port = await freePortFrom(remembered ?? usual + 1, exclude);
  say(`Port ${usual} is taken: ${WORDS[name]} listens on ${port}`);
  return port;
}

async function freePortFrom(first: number, exclude: readonly number[]): Promise<number> {
  if (first === 0) return listenOnce(0);
  for (let port = first; port < Math.min(first + PORTS_TRIED, 65_536); port += 1) {
    if (!exclude.includes(port) && (await isFree(port))) return port;
  }
  throw new EmbeddedError(`No free port between ${first} and ${first + PORTS_TRIED} on 127.0.0.1`);
}

async function isFree(port: number): Promise<boolean> {
  return listenOnce(port).then(
    () => true,
    () => false,
  );
}

/** Node sets SO_REUSEADDR, so a port that was closed a moment ago counts as free, as it does for the servers. */
function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  });
}
