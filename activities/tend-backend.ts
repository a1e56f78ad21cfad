import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { cancellationDetails, cancellationSignal, log } from '@temporalio/activity';
import type {
  BackendOperations,
  BackendPolling,
  BackendPulse,
  BackendSummary,
} from '../workflows/contracts/backend.js';
import type { BackendHold } from './backend-hold.js';
import { ensureMeantForUs } from './backend-hold.js';
import { backendHealthOf } from './comfyui/backend-health.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { ComfyUIError } from './comfyui/errors.js';
import type { GateSwitch } from './comfyui/gate-switch.js';
import { heartbeatOnNews } from './heartbeat-while.js';
import { abortAfter } from '../infra/runtime/abort-after.js';

export interface TendBackendDeps {
  readonly backend: ComfyUIBackend;
  readonly gate: GateSwitch;
  readonly hold: BackendHold;
  readonly polling: { readonly report: BackendPolling };
  /** Tells the Workflow of the backend what has changed. */
  readonly tell: (summary: BackendSummary) => Promise<void>;
}

/** How soon a change is told, and a ComfyUI behind a shut gate is seen to be idle. */
const TICK_MS = 1_000;
/** An open gate and its claims ask for themselves: a look of its own is for a ComfyUI that has nothing to do. */
const LOOK_MS = 5_000;
/** A ComfyUI that comes and goes changes every second; its Workflow hears of it this often at most. */
const TELL_MS = 5_000;
/** A busy fleet changes its queues all the time; the heartbeat says so for nothing. */
const TELL_POLLING_MS = 60_000;
/** Well before the start-to-close timeout: this end is in order, that one is not. */
const RENEW_AFTER_MS = 60 * 60_000;

export function createTendBackend(deps: TendBackendDeps): BackendOperations['tendBackend'] {
  const { hold } = deps;
  /**
   * Safe to retry: it only watches and tells what it sees. Its heartbeat is the sign of life by which this process keeps
   * the backend's id.
   */
  return async function tendBackend({ holderId }) {
    ensureMeantForUs(hold, holderId);
    const signal = cancellationSignal();
    const untended = hold.tended();
    const watch = new BackendWatch(deps);
    try {
      await heartbeatOnNews(
        async () => abortAfter(RENEW_AFTER_MS, [signal, hold.ending], async (end) => watch.until(end)),
        () => watch.pulse,
      );
      const isStopping = hold.ending.aborted || cancellationDetails()?.workerShutdown === true;
      if (!isStopping) signal.throwIfAborted(); // the Workflow is gone or has another holder, or an operator pauses this
      return { end: isStopping ? 'stopped' : 'renew' };
    } finally {
      untended();
    }
  };
}

/** Looks at one backend again and again: the pulse for the heartbeat, and the summary that is told on changes. */
class BackendWatch {
  readonly #deps: TendBackendDeps;
  #queueRemaining: number | null = null;
  #told: BackendSummary | null = null;
  #toldAt = Number.NEGATIVE_INFINITY;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #wasEmpty = false;

  constructor(deps: TendBackendDeps) {
    this.#deps = deps;
  }

  get pulse(): BackendPulse {
    const { backend, gate, polling } = this.#deps;
    return {
      polling: polling.report,
      ...backendHealthOf(backend.snapshot()),
      gate: gate.position,
      queueRemaining: this.#queueRemaining,
    };
  }

  async until(end: AbortSignal): Promise<void> {
    while (!end.aborted) {
      if (this.#isLookDue()) await this.#look(end);
      if (!end.aborted) await this.#tellChanges();
      await sleep(TICK_MS, undefined, { signal: end }).catch(() => undefined);
    }
  }

  async #look(end: AbortSignal): Promise<void> {
    const isShut = this.#deps.gate.position !== 'open'; // what came before the gate was shut may still be on its way
    this.#lookedAt = performance.now();
    this.#queueRemaining = await this.#lookAtQueue(end);
    this.#wasEmpty = isShut && this.#queueRemaining === 0;
    await this.#lookAtHistory(end);
  }

  /** Every second where somebody waits for the end of what runs, or for what the history says. */
  #isLookDue(): boolean {
    const { backend, gate } = this.#deps;
    const isAwaited = gate.position !== 'open' || backend.canary.inherited !== null;
    return isAwaited || performance.now() - this.#lookedAt >= LOOK_MS;
  }

  /** One that is down is looked for by the gate and by the reporter, and not by a third. */
  async #lookAtQueue(end: AbortSignal): Promise<number | null> {
    const { backend } = this.#deps;
    if (backend.snapshot().found === null) return null;
    try {
      return await backend.use(async (client) => client.queueRemaining(end));
    } catch (error) {
      if (error instanceof ComfyUIError || end.aborted) return null; // the snapshot says what it said
      throw error;
    }
  }

  /** Whether the ComfyUI has restarted while no worker looked, and by what a later worker will see that it has. */
  async #lookAtHistory(end: AbortSignal): Promise<void> {
    const { backend, gate } = this.#deps;
    const { canary } = backend;
    const isWanted = canary.inherited !== null || (gate.position === 'closed' && canary.promptId === null);
    if (!isWanted || backend.snapshot().found === null) return;
    try {
      await backend.use(async (client) => {
        if (canary.inherited !== null) {
          const { status } = await client.promptState(canary.inherited, end);
          canary.looked({ isThere: status !== 'absent' });
        }
        if (canary.promptId !== null) return;
        const promptId = await client.lastFinished(end);
        if (promptId !== null) canary.finished(promptId);
      });
    } catch (error) {
      if (error instanceof ComfyUIError || end.aborted) return; // the next look asks again
      throw error;
    }
  }

  async #tellChanges(): Promise<void> {
    const summary = this.#summary();
    const sinceMs = performance.now() - this.#toldAt;
    if (isDeepStrictEqual(summary, this.#told) || sinceMs < TELL_MS) return;
    const isOnlyPolling = isDeepStrictEqual({ ...summary, polling: null }, { ...this.#told, polling: null });
    if (isOnlyPolling && sinceMs < TELL_POLLING_MS) return;
    try {
      await this.#deps.tell(summary);
      this.#told = summary;
    } catch (error) {
      log.debug('The Workflow of the backend could not be told; trying again', { error });
    }
    this.#toldAt = performance.now();
  }

  #summary(): BackendSummary {
    const { backend, gate, hold, polling } = this.#deps;
    const snapshot = backend.snapshot();
    const { found } = snapshot;
    return {
      holderId: hold.holderId,
      ...backendHealthOf(snapshot),
      comfyuiVersion: found?.version ?? null,
      device: found?.device ?? null,
      hardware: found?.hardware ?? null,
      deviceName: found?.deviceName ?? null,
      vramTotalBytes: found?.vramTotalBytes ?? null,
      timesFound: snapshot.timesFound,
      isIdle: gate.position !== 'open' && this.#wasEmpty,
      polling: polling.report,
      canary: gate.position === 'closed' ? (backend.canary.inherited ?? backend.canary.promptId) : null,
      goneCanary: backend.canary.gone,
    };
  }
}
