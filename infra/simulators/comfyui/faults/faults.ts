import { modelFilesOf } from '../catalogue.js';
import type { Catalogue } from '../catalogue.js';
import type { Journal } from '../journal.js';
import type { Network } from '../network.js';
import type { NodeValue } from '../node-value.js';
import type { ProgressHub } from '../progress-hub.js';
import type { Vram } from '../vram.js';
import { USUAL_VRAM_GIB } from '../vram.js';
import { ArmedFaults } from './armed-faults.js';
import type { FaultPoint } from './armed-faults.js';
import type { Fault, FaultKind } from './fault-kinds.js';
import type { FaultSchedule } from './fault-schedule.js';
import { EXCEPTION_KINDS, exceptionOf, modelNotFound, outOfMemory, poisoned, USUAL_PLACES } from './node-exceptions.js';
import { nodeGroups } from './node-groups.js';

/** What faults act on. */
export interface FaultTargets {
  readonly catalogue: Catalogue;
  readonly hub: ProgressHub;
  readonly journal: Journal;
  readonly network: Network;
  readonly vram: Vram;
  readonly schedule: FaultSchedule | null;
}

/** The prompt is gone from the queue and will never reach the history, as after a lost worker; or it comes back later. */
export class VanishedPrompt extends Error {
  override readonly name = 'VanishedPrompt';
  readonly returnsAfterMs: number | null;

  constructor(returnsAfterMs: number | undefined) {
    super('The prompt vanished');
    this.returnsAfterMs = returnsAfterMs ?? null;
  }
}

/** Nothing catches it: the only worker ends, as by a SystemExit inside a node. */
export class DeadWorker extends Error {
  override readonly name = 'DeadWorker';
}

/** Faults consulted at fixed points: start and end of a prompt, start and steps of a node, a request. */
export class Faults {
  readonly #targets: FaultTargets;
  readonly #armed: ArmedFaults;
  #isPoisoned = false;

  constructor(targets: FaultTargets) {
    this.#targets = targets;
    this.#armed = new ArmedFaults(({ kind }, point) => {
      this.#tell(kind, point);
    });
  }

  /** What is to happen to connections and memory, and names no place, happens at once. */
  arm(fault: Fault): void {
    this.#armed.arm(fault);
    this.#disturb({});
  }

  /** Also undoes what fired: poison, held memory, removed models, held frames. A dead worker stays dead. */
  clear(): void {
    this.#armed.clear();
    this.#isPoisoned = false;
    this.#targets.vram.free();
    this.#targets.catalogue.restore();
    this.#targets.hub.release();
  }

  list(): readonly Fault[] {
    return this.#armed.list();
  }

  /** Before anything of a prompt is announced; what names a node or a step waits for it. */
  atPromptStart(point: FaultPoint): void {
    const scheduled = this.#targets.schedule?.next(point) ?? null;
    if (scheduled !== null) this.arm(scheduled);
    const isAnywhere = (fault: Fault) => fault.nodeType === undefined && fault.atStep === undefined;
    this.#endPrompt(point, (fault) => isAnywhere(fault) && fault.afterPrompt !== true);
  }

  /** Once the history is written and everybody has been told. */
  atPromptEnd(point: FaultPoint): void {
    if (this.#armed.take(['zombie'], point, (fault) => fault.afterPrompt === true) !== null) throw new DeadWorker();
  }

  async atNodeStart(point: FaultPoint, values: Readonly<Record<string, NodeValue>>): Promise<void> {
    await this.#strike(point);
    if (this.#isPoisoned && nodeGroups.gpu(point.nodeType ?? '')) {
      this.#tell('poison', point);
      throw poisoned();
    }
    this.#findModels(point, values);
    const shortage = this.#targets.vram.shortageOf(point.nodeType ?? '', values);
    if (shortage === null) return;
    this.#tell('oom', { ...point, ...shortage });
    const { neededGib, heldGib, totalGib } = shortage;
    throw outOfMemory('torch', { totalGib, allocatedGib: heldGib, requestedGib: neededGib });
  }

  async atStep(point: FaultPoint): Promise<void> {
    await this.#strike(point);
  }

  /** How many times longer than usual this node's steps take. */
  stepFactor(point: FaultPoint): number {
    return this.#armed.take(['slow'], point)?.factor ?? 1;
  }

  /** A node that is to be blocked, with the text of its blocker. */
  blockOf(point: FaultPoint): Fault | null {
    return this.#armed.take(['blocked'], point);
  }

  /** How long this prompt stays in the history; `null`: as long as others. */
  historyLifeMs(point: FaultPoint): number | null {
    return this.#armed.take(['evict_history'], point)?.afterMs ?? null;
  }

  atRequest(kinds: readonly FaultKind[], point: FaultPoint): Fault | null {
    return this.#armed.take(kinds, point);
  }

  async #strike(point: FaultPoint): Promise<void> {
    const isHere = ({ atStep }: Fault) => atStep === point.step;
    this.#disturb(point);
    this.#endPrompt(point, (fault) => isHere(fault) && fault.afterPrompt !== true);
    if (this.#armed.take(['crash'], point, isHere) !== null) await die();
    if (this.#armed.take(['hang'], point, isHere) !== null) await never();
    const fault = this.#armed.take(EXCEPTION_KINDS, point, (each) => isHere(each) && isUsualPlace(each, point));
    if (fault === null) return;
    if (fault.kind === 'poison') this.#isPoisoned = true;
    throw exceptionOf(fault, this.#targets.vram.totalGib ?? USUAL_VRAM_GIB);
  }

  /** What goes on while the prompt goes on. */
  #disturb(point: FaultPoint): void {
    const { hub, network, vram } = this.#targets;
    const isHere = ({ atStep }: Fault) => atStep === point.step;
    const stall = this.#armed.take(['ws_stall'], point, isHere);
    if (stall !== null) hub.hold(stall.durationMs ?? 0);
    const burst = this.#armed.take(['ws_burst'], point, isHere);
    if (burst !== null) hub.flood(burst.frames ?? 0);
    const outage = this.#armed.take(['outage'], point, isHere);
    if (outage !== null) network.cut(outage.durationMs ?? 0);
    const held = this.#armed.take(['vram_held'], point, isHere);
    if (held !== null) vram.hold(held.gib ?? 0);
  }

  #endPrompt(point: FaultPoint, applies: (fault: Fault) => boolean): void {
    const fault = this.#armed.take(['vanish', 'zombie'], point, applies);
    if (fault?.kind === 'vanish') throw new VanishedPrompt(fault.returnsAfterMs);
    if (fault !== null) throw new DeadWorker();
  }

  #findModels(point: FaultPoint, values: Readonly<Record<string, NodeValue>>): void {
    const { catalogue } = this.#targets;
    for (const file of modelFilesOf(point.nodeType ?? '', values)) {
      const isThisFile = ({ filename }: Fault) => filename === undefined || filename === file.filename;
      if (this.#armed.take(['model_removed'], point, isThisFile) !== null) catalogue.remove(file);
      if (catalogue.isRemoved(file)) throw modelNotFound(file);
    }
  }

  #tell(kind: FaultKind, facts: object): void {
    this.#targets.journal.write('fault', { kind, ...facts });
  }
}

function isUsualPlace({ kind, nodeType }: Fault, point: FaultPoint): boolean {
  return nodeType !== undefined || nodeGroups[USUAL_PLACES[kind] ?? 'any'](point.nodeType ?? '');
}

/** What was sent so far leaves the process first, as it does when a real server dies in a long kernel. */
async function die(): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, 5));
  process.kill(process.pid, 'SIGKILL');
  return never();
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
