import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedError } from '../embedded-error.js';
import { launch, logPathOf } from './launch.js';
import type { ProcessContext, ProcessExit, ProcessSpec, RunningProcess } from './process-spec.js';
import { abortAfter } from '../../runtime/abort-after.js';

export interface Supervised {
  readonly name: string;
  /** Resolves when it was ready for the first time. */
  readonly ready: Promise<void>;
  /** Rejects when it is given up; never resolves. */
  readonly givenUp: Promise<never>;
  readonly stop: () => Promise<void>;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** A process that lives this long has started well; its back-off begins anew when it dies. */
const SETTLED_AFTER_MS = 20_000;
const MAX_EARLY_DEATHS = 5;

/**
 * Keeps one process running: starting → ready → (dead → pause → starting …), until it is stopped or given up.
 * Pauses double from 1 s to 30 s; five deaths right at the start, which take about 15 s, end it. A restart that is requested
 * (`context.restarts`) counts as no death and needs no pause. Under `npm run dev`, a program of ours that dies five times is not
 * given up: it waits for its next build.
 */
export function supervise(spec: ProcessSpec, context: ProcessContext): Supervised {
  const stopping = new AbortController();
  const ready = deferred<undefined>();
  const givenUp = deferred<never>();
  const loop = new KeepRunning(spec, context, { stopping: stopping.signal, onReady: () => ready.resolve(undefined) });
  const ended = loop.run().catch((error: unknown) => {
    ready.reject(error);
    givenUp.reject(error);
  });
  return {
    name: spec.name,
    ready: ready.promise,
    givenUp: givenUp.promise,
    async stop() {
      stopping.abort();
      await ended;
      ready.reject(new EmbeddedError(`${spec.name} was stopped`));
    },
  };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** `Promise.withResolvers` of newer Nodes, except that nobody needs to be listening when it rejects. */
function deferred<T>(): Deferred<T> {
  let settle: Omit<Deferred<T>, 'promise'> = { resolve: () => undefined, reject: () => undefined };
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  promise.catch(() => undefined);
  return { promise, ...settle };
}

interface LoopHooks {
  readonly stopping: AbortSignal;
  readonly onReady: () => void;
}

class KeepRunning {
  readonly #spec: ProcessSpec;
  readonly #context: ProcessContext;
  readonly #hooks: LoopHooks;
  #earlyDeaths = 0;
  #restartedAt: number | null = null;

  constructor(spec: ProcessSpec, context: ProcessContext, hooks: LoopHooks) {
    this.#spec = spec;
    this.#context = context;
    this.#hooks = hooks;
  }

  async run(): Promise<void> {
    const { stopping } = this.#hooks;
    while (!stopping.aborted) {
      const startedAt = Date.now();
      const exit = await this.#runOnce();
      if (stopping.aborted || this.#context.killNow.aborted) return;
      if (exit === 'restart') {
        this.#restartedAt = Date.now();
        this.#earlyDeaths = 0;
        continue;
      }
      this.#earlyDeaths = Date.now() - startedAt < SETTLED_AFTER_MS ? this.#earlyDeaths + 1 : 1;
      await this.#pauseAfter(exit);
    }
  }

  /** The pause ends early when the process has a new build or is stopped. */
  async #pauseAfter(exit: ProcessExit): Promise<void> {
    const { report, restarts } = this.#context;
    const { name, marker, speaksIpc } = this.#spec;
    const over = new AbortController();
    const stop = () => {
      over.abort();
    };
    this.#hooks.stopping.addEventListener('abort', stop, { once: true });
    restarts?.once(marker, stop);
    if (this.#earlyDeaths < MAX_EARLY_DEATHS) {
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (this.#earlyDeaths - 1), LONGEST_PAUSE_MS);
      report.say(`${name} ended (${inWords(exit)}); starting it again in ${pauseMs / 1000} s`);
      await delay(pauseMs, undefined, { signal: over.signal }).catch(() => undefined);
    } else {
      if (restarts === undefined || !speaksIpc) throw this.#givenUp(exit);
      report.say(`${this.#givenUp(exit).message}\n${name} starts again after the next edit that changes it`);
      await once(over.signal, 'abort');
    }
    if (over.signal.aborted) this.#earlyDeaths = 0;
    this.#hooks.stopping.removeEventListener('abort', stop);
    restarts?.off(marker, stop);
  }

  async #runOnce(): Promise<ProcessExit | 'restart'> {
    const running = launch(this.#spec, this.#context.folder);
    const over = new AbortController();
    const stop = () => void running.stop();
    let isRestart = false;
    const restart = () => {
      isRestart = true;
      stop();
    };
    this.#context.restarts?.once(this.#spec.marker, restart);
    this.#hooks.stopping.addEventListener('abort', stop, { once: true });
    this.#context.killNow.addEventListener('abort', running.kill, { once: true });
    if (this.#context.killNow.aborted) running.kill();
    const fatal = this.#watchReadiness(running, over.signal);
    try {
      const exit = await Promise.race([running.exited, fatal]);
      return isRestart ? 'restart' : exit;
    } finally {
      over.abort();
      await running.exited;
      this.#context.restarts?.off(this.#spec.marker, restart);
      this.#hooks.stopping.removeEventListener('abort', stop);
      this.#context.killNow.removeEventListener('abort', running.kill);
    }
  }

  /** Rejects only when trying again is no use; too slow a start is ended and counts as a death. */
  #watchReadiness(running: RunningProcess, over: AbortSignal): Promise<never> {
    const { untilReady, readyWithinMs, name } = this.#spec;
    return new Promise((_, reject) => {
      const ready = abortAfter(readyWithinMs, [over], async (signal) => untilReady(running, signal));
      ready.then(this.#onReady, async (error: unknown) => {
        if (over.aborted) return;
        if (!(error instanceof EmbeddedError))
          this.#context.report.say(`${name} was not ready in ${readyWithinMs / 1000} s`);
        await running.stop();
        if (error instanceof EmbeddedError) reject(error);
      });
    });
  }

  readonly #onReady = () => {
    this.#hooks.onReady();
    if (this.#restartedAt === null) return;
    this.#context.report.say(
      `${this.#spec.name} restarted in ${((Date.now() - this.#restartedAt) / 1000).toFixed(1)} s`,
    );
    this.#restartedAt = null;
  };

  #givenUp(exit: ProcessExit): EmbeddedError {
    const log = logPathOf(this.#context.folder, this.#spec.name);
    return new EmbeddedError(
      `${this.#spec.name} ended ${MAX_EARLY_DEATHS} times right after its start (${inWords(exit)}). The end of ${log}:\n${tailOf(log)}`,
    );
  }
}

function inWords(exit: ProcessExit): string {
  if (exit.error !== undefined) return exit.error.message;
  return exit.signal === null ? `exit code ${exit.code ?? 'unknown'}` : `signal ${exit.signal}`;
}

function tailOf(path: string): string {
  if (!existsSync(path)) return '';
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-8).join('\n');
}
