import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FalRequest } from './fal-request.js';

/** All requests of a data folder, in the order in which they came. */
export class RequestStore {
  readonly #folder: string;
  readonly #filesFolder: string;
  readonly #requests = new Map<string, FalRequest>();

  constructor(dataDir: string) {
    this.#folder = join(dataDir, 'requests');
    this.#filesFolder = join(dataDir, 'files');
    mkdirSync(this.#folder, { recursive: true });
    const texts = readdirSync(this.#folder).map((name) => readFileSync(join(this.#folder, name), 'utf8'));
    const requests = texts.map((text) => JSON.parse(text) as FalRequest);
    for (const request of requests.sort((one, other) => (one.submittedAt < other.submittedAt ? -1 : 1))) {
      if (request.status === 'IN_PROGRESS') request.status = 'IN_QUEUE';
      this.#requests.set(request.id, request);
    }
  }

  get(id: string): FalRequest | undefined {
    return this.#requests.get(id);
  }

  waiting(): readonly FalRequest[] {
    return [...this.#requests.values()].filter(({ status }) => status === 'IN_QUEUE');
  }

  save(request: FalRequest): void {
    this.#requests.set(request.id, request);
    writeFileSync(join(this.#folder, `${request.id}.json`), JSON.stringify(request));
  }

  saveFile(request: FalRequest, name: string, bytes: Uint8Array): void {
    mkdirSync(join(this.#filesFolder, request.id), { recursive: true });
    writeFileSync(join(this.#filesFolder, request.id, name), bytes);
  }

  readFile(request: FalRequest, name: string): Buffer {
    return readFileSync(join(this.#filesFolder, request.id, name));
  }
}
