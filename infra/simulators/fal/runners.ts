import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import type { Journal } from '../comfyui/journal.js';
import type { Recipe } from '../comfyui/node-value.js';
import { renderPicture } from '../comfyui/pictures.js';
import type { FalFault, FalFaults } from './faults.js';
import type { FalFileFacts, FalOutcome, FalRequest } from './fal-request.js';
import type { FalJournalEvent } from './journal.js';
import { InputRefused, modelInputFrom } from './model-input.js';
import type { ModelInput } from './model-input.js';
import type { RequestStore } from './request-store.js';

export interface RunnersDeps {
  readonly store: RequestStore;
  readonly faults: FalFaults;
  readonly journal: Journal<FalJournalEvent>;
  readonly seconds: number;
  readonly runners: number;
}

/** A request that was cancelled ends as one that the client gave up. */
const CANCELLED: FalOutcome = {
  kind: 'failed',
  status: 499,
  errorType: 'client_cancelled',
  detail: 'The request was cancelled by the client',
};

/** Runs what waits in the queue, so many at once. */
export class Runners {
  readonly #deps: RunnersDeps;
  readonly #running = new Map<string, AbortController>();

  constructor(deps: RunnersDeps) {
    this.#deps = deps;
  }

  /** To be called whenever a request came or a runner became free. */
  fill(): void {
    for (const request of this.#deps.store.waiting()) {
      if (this.#running.size >= this.#deps.runners) return;
      void this.#run(request);
    }
  }

  /** False when it is over already. */
  cancel(request: FalRequest): boolean {
    if (request.status === 'COMPLETED') return false;
    const phase = request.status;
    this.#running.get(request.id)?.abort();
    this.#deps.journal.write('cancelled', { requestId: request.id, phase });
    this.#finish(request, CANCELLED);
    return true;
  }

  async #run(request: FalRequest): Promise<void> {
    const { store, faults, journal } = this.#deps;
    const stop = new AbortController();
    this.#running.set(request.id, stop);
    request.status = 'IN_PROGRESS';
    request.logs = [{ timestamp: new Date().toISOString(), level: 'INFO', message: 'Loading the model' }];
    store.save(request);
    journal.write('started', { requestId: request.id });
    const fault = faults.take(['hang', 'error_in_completed', '422']);
    try {
      const outcome = await this.#outcomeOf(request, fault, stop.signal);
      if (!stop.signal.aborted) this.#finish(request, outcome);
    } catch (error) {
      if (stop.signal.aborted) return; // cancelled: it is finished already
      const detail = error instanceof Error ? error.message : String(error);
      this.#finish(request, { kind: 'failed', status: 500, errorType: 'internal_error', detail });
    }
  }

  async #outcomeOf(request: FalRequest, fault: FalFault | null, signal: AbortSignal): Promise<FalOutcome> {
    const { seconds } = this.#deps;
    if (fault?.kind === 'hang') await never(signal);
    await sleep(seconds * 1_000, undefined, { signal });
    if (fault?.kind === 'error_in_completed') {
      return { kind: 'failed', status: 500, errorType: fault.errorType, detail: 'The runner failed (simulated)' };
    }
    if (fault?.kind === '422') {
      const detail = { loc: fault.loc, type: fault.detailType, msg: 'The model refused the input (simulated)' };
      return { kind: 'refused', detail: [detail] };
    }
    try {
      const input = await modelInputFrom(request.input);
      const files = await this.#render(request, input);
      return { kind: 'succeeded', files, seed: input.seed, prompt: input.prompt };
    } catch (error) {
      if (error instanceof InputRefused) return { kind: 'refused', detail: [error.detail] };
      throw error;
    }
  }

  async #render(request: FalRequest, input: ModelInput): Promise<readonly FalFileFacts[]> {
    const files: FalFileFacts[] = [];
    for (let index = 0; index < input.count; index += 1) {
      const png = await renderPicture(recipeOf(request, input), input.size, { index });
      const bytes = input.format === 'png' ? png : await sharp(png).jpeg().toBuffer();
      const name = `${index}.${input.format}`;
      this.#deps.store.saveFile(request, name, bytes);
      const { widthPx: width, heightPx: height } = input.size;
      files.push({ name, width, height, contentType: `image/${input.format}`, bytes: bytes.length });
    }
    return files;
  }

  #finish(request: FalRequest, outcome: FalOutcome): void {
    const { store, journal, seconds } = this.#deps;
    request.status = 'COMPLETED';
    request.outcome = outcome;
    request.inferenceSeconds = seconds;
    store.save(request);
    this.#running.delete(request.id);
    journal.write('finished', { requestId: request.id, outcome: outcome.kind });
    this.fill();
  }
}

function recipeOf({ model }: FalRequest, { prompt, seed, base, steps, cfg, strength }: ModelInput): Recipe {
  const modelName = [model.owner, model.app, model.path].filter((part) => part !== '').join('/');
  const sampling = { steps, stepsDone: steps, cfg, samplerName: 'fal.ai', scheduler: modelName, denoise: strength };
  return { base, modelName, promptText: prompt, negativeText: '', seed, ...sampling };
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });
}
