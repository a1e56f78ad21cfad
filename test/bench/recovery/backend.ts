import { setTimeout as delay } from 'node:timers/promises';
import type { JournalEntry } from '../../../infra/simulators/comfyui/journal.js';
import type { NodeProcess } from '../../support/node-process.js';
import type { Service } from '../../support/service.js';
import { startSimulator } from '../../support/simulator-process.js';
import type { SimulatorProcess } from '../../support/simulator-process.js';

/** How long a ComfyUI that died stays away, at most. */
const MAX_AWAY_MS = 2_000;

export interface BackendOptions {
  readonly id: string;
  readonly secondsPerStep: number;
  readonly random: () => number;
}

/** A ComfyUI that is started again whenever it dies, as by systemd, and the worker that belongs to it. */
export class Backend {
  readonly id: string;
  readonly #options: BackendOptions;
  #simulator: SimulatorProcess;
  #worker: NodeProcess | null = null;
  #isStopping = false;
  #restarted: Promise<void> = Promise.resolve();

  private constructor(options: BackendOptions, simulator: SimulatorProcess) {
    this.id = options.id;
    this.#options = options;
    this.#simulator = simulator;
    this.#watch();
  }

  static async start(options: BackendOptions): Promise<Backend> {
    return new Backend(options, await startSimulator(simulatorOptions(options)));
  }

  get comfyUrl(): string {
    return this.#simulator.url;
  }

  get dataDir(): string {
    return this.#simulator.dataDir;
  }

  journal(): readonly JournalEntry[] {
    return this.#simulator.journal();
  }

  async startWorker(service: Service): Promise<void> {
    if (this.#isStopping) return;
    this.#worker = await service.startOther(this.id, {
      ...{ WORKER_ROLES: 'gpu', COMFYUI_URL: this.comfyUrl, BACKEND_ID: this.id },
    });
  }

  async killWorker(): Promise<void> {
    await this.#worker?.end('SIGKILL');
  }

  /** Of ComfyUI itself. */
  async freezeFor(ms: number): Promise<void> {
    process.kill(this.#simulator.pid, 'SIGSTOP');
    await delay(ms);
    process.kill(this.#simulator.pid, 'SIGCONT');
  }

  /** Resolves once it answers again. */
  async restartComfyui(): Promise<void> {
    await this.#simulator.kill('SIGKILL');
    await this.untilUp();
  }

  async untilUp(): Promise<void> {
    await this.#restarted;
  }

  async post(path: string, body: object): Promise<void> {
    const response = await fetch(`${this.comfyUrl}${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${this.comfyUrl}${path}: ${response.status} ${await response.text()}`);
  }

  async queueRemaining(): Promise<number> {
    const answer = (await (await fetch(`${this.comfyUrl}/prompt`)).json()) as {
      readonly exec_info: { readonly queue_remaining: number };
    };
    return answer.exec_info.queue_remaining;
  }

  /** Also undoes what has fired. */
  async clearFaults(): Promise<void> {
    await fetch(`${this.comfyUrl}/simulator/faults`, { method: 'DELETE' });
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#worker?.end('SIGTERM');
    await this.#restarted;
    await this.#simulator.stop();
  }

  #watch(): void {
    const { ended, port, dataDir } = this.#simulator;
    void ended.then(() => {
      if (this.#isStopping) return;
      this.#restarted = (async () => {
        await delay(this.#options.random() * MAX_AWAY_MS);
        this.#simulator = await startSimulator({ ...simulatorOptions(this.#options), port, dataDir });
        this.#watch();
      })();
      this.#restarted.catch(() => undefined); // whoever waits for it hears of it
    });
  }
}

/** A GPU: on a CPU the limits would be ten times as long. */
function simulatorOptions({ secondsPerStep }: BackendOptions) {
  return { secondsPerStep, extraArgs: ['--device', 'cuda'] };
}
