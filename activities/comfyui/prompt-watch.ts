import { activityInfo, cancellationSignal } from '@temporalio/activity';
import type { AwaitCompletionInput, CompletedPrompt } from '../../workflows/contracts/activities.js';
import type { RenderedSoFar } from '../../workflows/contracts/checkpoint.js';
import type { RenderingHeartbeat } from '../../workflows/contracts/generation.js';
import { assertNever } from '../../workflows/domain/assert-never.js';
import { Bell } from '../../infra/runtime/bell.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import type { ComfyUIAddress } from './comfyui-address.js';
import type { ComfyUIBackend } from './comfyui-backend.js';
import { ComfyUIError, ExecutionFailedError, NoOutputError, PromptInterruptedError } from './errors.js';
import { OutageWatch } from './outage-watch.js';
import { openProgressSocket } from './progress-socket.js';
import type { ProgressSocket } from './progress-socket.js';
import type { FinishedPrompt, PromptState } from './prompt-state.js';
import { queueCounts, runsAnother } from './queue-counts.js';
import { RenderingLimits } from './rendering-limits.js';
import { StartSignal } from './start-signal.js';
import { ZombieWatch } from './zombie-watch.js';

export interface PromptWatchDeps {
  readonly backend: ComfyUIBackend;
  /** Longest pause between two looks, milliseconds; R4.1: at most 3 s. The websocket makes most looks earlier. */
  readonly pollIntervalMs: number;
  /** Told when ComfyUI says that a run is over; what it answers is called when its result is known. */
  readonly claims: { ending(generationId: string): () => void };
}

/** The answer carries the graphs of all that wait. */
const ASK_WHO_RUNS_MS = 10_000;
/** As many as a graph may have. */
const MAX_COMPLETED_NODES = 500;

/** One attempt at watching one prompt. The websocket only decides how soon the next look is; the look is the truth. */
export class PromptWatch {
  readonly #deps: PromptWatchDeps;
  readonly #input: AwaitCompletionInput;
  readonly #signal = cancellationSignal();
  readonly #outage: OutageWatch;
  readonly #limits: RenderingLimits;
  readonly #start: StartSignal;
  readonly #zombie: ZombieWatch;
  #socket: ProgressSocket | null = null;
  #socketLabel = '';
  #address: ComfyUIAddress | null = null;
  /** Rings when a look is due before its time, also when it rings while one is under way, which may be too old. */
  readonly #bell = new Bell();
  #state: RenderingHeartbeat['state'] = 'pending';
  #runningSinceMs: number | null = previousHeartbeat()?.runningSinceMs ?? null;
  #percent = previousHeartbeat()?.percent ?? 0;
  #isBehindAnother = previousHeartbeat()?.isBehindAnother ?? false;
  #askAgainAtMs = 0;
  readonly #canary: string | null;
  #settled: (() => void) | null = null;
  #hasSucceeded = false;

  constructor(deps: PromptWatchDeps, input: AwaitCompletionInput) {
    this.#deps = deps;
    this.#input = input;
    this.#canary = previousHeartbeat()?.canary ?? deps.backend.canary.promptId;
    this.#outage = new OutageWatch(input.promptId, input.backendReturnSeconds);
    this.#limits = new RenderingLimits(input);
    this.#start = new StartSignal(input);
    this.#zombie = new ZombieWatch(input.stallSeconds, performance.now());
  }

  async untilFinished(): Promise<CompletedPrompt> {
    for (;;) {
      this.#signal.throwIfAborted();
      const state = await this.#look();
      if (state !== null) {
        const completed = await this.#finishedOf(state);
        this.#tellForecast();
        if (completed !== null) return completed;
        this.#attach();
      }
      if (this.#state === 'running' && this.#runningSinceMs !== null && this.#socket !== null) {
        this.#limits.enforce(this.#runningSinceMs, this.#socket);
      }
      await this.#bell.wait(this.#outage.pauseMs(this.#deps.pollIntervalMs), this.#signal);
    }
  }

  /** What the next attempt and the API see of this one. */
  heartbeat(): RenderingHeartbeat {
    const progress = this.#socket?.progress();
    this.#percent = Math.max(this.#percent, progress?.percent ?? 0);
    return {
      promptId: this.#input.promptId,
      state: this.#state,
      nodeId: progress?.nodeId ?? null,
      step: progress?.step ?? null,
      steps: progress?.steps ?? null,
      percent: this.#percent,
      runningSinceMs: this.#runningSinceMs,
      canary: this.#canary,
      isBehindAnother: this.#isBehindAnother,
      isStopped: this.#deps.backend.forecast.isStopped(this.#input.promptId),
    };
  }

  /** False for a prompt that was last seen waiting behind another: what kills ComfyUI at once is never seen running. */
  get wasRunning(): boolean {
    return !this.#isBehindAnother || this.#runningSinceMs !== null || this.#socket?.progress().hasStarted === true;
  }

  /** What a recovery begins from. */
  get rendered(): RenderedSoFar {
    const { percent } = this.heartbeat();
    const done = [...(this.#socket?.progress().finishedNodes ?? [])];
    return { percent, completedNodes: done.slice(0, MAX_COMPLETED_NODES) };
  }

  close(): void {
    this.#socket?.close();
    this.#settled?.();
    this.#deps.backend.forecast.ended(this.#input.promptId, { hasSucceeded: this.#hasSucceeded });
  }

  /** One look, or `null` while the backend is away for less than its limit. */
  async #look(): Promise<PromptState | null> {
    try {
      const state = await this.#deps.backend.use(async (client) => {
        this.#address = client.address;
        return client.promptState(this.#input.promptId, this.#signal);
      });
      this.#outage.answered(state.status);
      return state;
    } catch (error) {
      if (!(error instanceof ComfyUIError)) throw error;
      this.#limits.restart();
      this.#outage.failed(error, performance.now()); // throws when the backend has been away for too long
      return null;
    }
  }

  /**
   * Opens the websocket at the address that answers now, for a prompt that has not ended; a ComfyUI that came back
   * elsewhere gets a new one.
   */
  #attach(): void {
    const address = this.#address;
    if (address === null || (this.#socket !== null && this.#socketLabel === address.label)) return;
    this.#socket?.close();
    this.#socketLabel = address.label;
    const { promptId, nodeCount } = this.#input;
    this.#socket = openProgressSocket({
      address,
      promptId,
      nodeCount,
      // Events before the connection are lost: what ended between the look and it shows itself in no other way.
      onConnect: () => this.#bell.ring(),
      onEvent: () => this.#onEvent(),
      onDisconnect: () => this.#onDisconnect(),
    });
  }

  /** The next heartbeat tells of it: one for each event would be processor time for nothing. */
  #onEvent(): void {
    this.#tellForecast();
    const progress = this.#socket?.progress();
    if (progress?.hasEnded === true) this.#settled ??= this.#deps.claims.ending(this.#input.generationId);
    const isNews = progress?.hasEnded === true || (progress?.hasStarted === true && this.#state === 'pending');
    if (isNews) this.#bell.ring();
  }

  #onDisconnect(): void {
    this.#outage.disconnected();
    this.#bell.ring();
  }

  async #finishedOf(state: PromptState): Promise<CompletedPrompt | null> {
    switch (state.status) {
      case 'succeeded':
        this.#hasSucceeded = true;
        this.#deps.backend.canary.finished(this.#input.promptId);
        return this.#completed(state.finished);
      case 'failed':
        throw new ExecutionFailedError(state.error);
      case 'interrupted':
        throw new PromptInterruptedError(this.#input.promptId);
      case 'running':
        await this.#noteRunning();
        crashPoint('awaitCompletion.mid');
        return null;
      case 'pending':
        await this.#lookWhoRuns();
        this.#limits.restart();
        await this.#lookForLife();
        return null;
      case 'absent':
        this.#outage.absent(); // throws after R2.5's looks
        if (await this.#isCanaryGone()) {
          this.#outage.hasForgotten(); // the next look decides
          this.#deps.backend.canary.forget();
        }
        return null;
      default:
        return assertNever(state);
    }
  }

  #completed({ outputs, startedAtMs, hasReported }: FinishedPrompt): CompletedPrompt {
    if (outputs.length > 0) return { outputs, startedAtMs };
    throw new NoOutputError({ blocked: this.#socket?.progress().blocked ?? null, hasReported });
  }

  async #isCanaryGone(): Promise<boolean> {
    const canary = this.#canary;
    if (canary === null || canary === this.#input.promptId) return false;
    try {
      const state = await this.#deps.backend.use(async (client) => client.promptState(canary, this.#signal));
      return state.status === 'absent';
    } catch (error) {
      if (error instanceof ComfyUIError) return false; // the next look at the prompt itself meets the same
      throw error;
    }
  }

  /** Of prompts of ours the forecast knows; who waits behind somebody else's is asked for now and then. */
  async #lookWhoRuns(): Promise<void> {
    const { backend } = this.#deps;
    const { promptId } = this.#input;
    if (backend.forecast.isAnotherRunning(promptId)) {
      this.#isBehindAnother = true;
      return;
    }
    const now = performance.now();
    if (this.#isBehindAnother && now < this.#askAgainAtMs) return;
    this.#askAgainAtMs = now + ASK_WHO_RUNS_MS;
    try {
      this.#isBehindAnother = await backend.use(async (client) => runsAnother(client, promptId, this.#signal));
    } catch (error) {
      if (!(error instanceof ComfyUIError)) throw error; // the next look at the prompt itself meets the same
    }
  }

  /** Asked rarely: the answer carries the graphs of all that wait. */
  async #lookForLife(): Promise<void> {
    if (!this.#zombie.isDue(performance.now())) return;
    const { running } = await this.#deps.backend.use(async (client) => queueCounts(client, this.#signal));
    this.#zombie.observed(running, performance.now());
  }

  /** What the gate goes by when it decides whether the next prompt may be bound to this GPU. */
  #tellForecast(): void {
    const { forecast } = this.#deps.backend;
    forecast.observed(this.#input.promptId, this.#runningSinceMs, this.#socket?.progress() ?? null);
  }

  async #noteRunning(): Promise<void> {
    this.#state = 'running';
    this.#runningSinceMs ??= Date.now();
    await this.#start.send(this.#runningSinceMs);
  }
}

/** The heartbeat of the attempt before this one: when rendering began must survive a worker. */
function previousHeartbeat(): RenderingHeartbeat | undefined {
  return activityInfo().heartbeatDetails as RenderingHeartbeat | undefined;
}
