import type { OutputSwapper } from '../output-swapper.js';
import type { SeenGeneration, Service } from '../service.js';
import { until } from '../until.js';
import type { BadFile } from './bad-file.js';

/** What became of the generation that met an item of the corpus. */
export interface Outcome {
  readonly bad: BadFile;
  readonly seen: SeenGeneration;
  /** How often its file was asked for. */
  readonly views: number;
}

/** Enough for the pauses between four downloads of each of two renderings. */
const END_MS = 420_000;

/** What those are charged to whose generations meet the corpus. */
export const CORPUS_ACCOUNT = 'corpus';

/** Which generations were submitted for the corpus; their seeds are their places, from 1 on. */
export class CorpusRun {
  readonly #service: Service;
  readonly #swapper: OutputSwapper;
  readonly #request: object;
  readonly #ids: string[] = [];

  constructor(service: Service, ...[swapper, request]: [OutputSwapper, object]) {
    this.#service = service;
    this.#swapper = swapper;
    this.#request = { ...request, account: CORPUS_ACCOUNT };
  }

  /**
   * As many generations as there are items, each to its end. Whichever generation asks for its file first gets the next
   * item, so those of one template follow each other, and the next template waits until all have asked.
   */
  async of(items: readonly BadFile[]): Promise<readonly SeenGeneration[]> {
    const first = this.#ids.length;
    for (const template of new Set(items.map((bad) => bad.template))) {
      for (const _ of items.filter((bad) => bad.template === template)) {
        const parameters = { seed: this.#ids.length + 1 };
        this.#ids.push((await this.#service.submit({ ...this.#request, template, parameters })).id);
      }
      await until('every file was asked for', async () => this.#swapper.met.size === this.#ids.length, END_MS);
    }
    return Promise.all(this.#ids.slice(first).map(async (id) => untilEnded(this.#service, id)));
  }
}

/** The items as a `CorpusRun` submits them. */
export function inOrder(corpus: readonly BadFile[]): readonly BadFile[] {
  const templates = [...new Set(corpus.map(({ template }) => template))];
  return templates.flatMap((template) => corpus.filter((bad) => bad.template === template));
}

/** Whatever that is: a delivered one is what the tests look for. */
async function untilEnded(service: Service, id: string): Promise<SeenGeneration> {
  const isOver = ({ status }: SeenGeneration) => ['COMPLETED', 'FAILED', 'TIMEOUT'].includes(status);
  return until(
    `${id} ends`,
    async () => {
      const seen = await service.get(id);
      return isOver(seen) ? seen : null;
    },
    END_MS,
  );
}

/** Those that were delivered, or whose verdict does not name what was wrong. */
export function unnamed(outcomes: readonly Outcome[]): readonly unknown[] {
  return outcomes.flatMap(({ bad, seen: { status, error, outputs } }) => {
    const isKind = error?.kind === (bad.kind ?? 'OUTPUT_INVALID');
    const isNamed = bad.kind !== undefined || bad.faults.some((fault) => error?.detail.includes(`(${fault})`));
    const isRight = status === 'FAILED' && isKind && isNamed && outputs.length === 0;
    return isRight ? [] : [{ bad: bad.name, status, error }];
  });
}
