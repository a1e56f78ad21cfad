import { afterAll, afterEach, beforeAll, beforeEach, expect } from '@jest/globals';
import type { JournalEntry } from '../../infra/simulators/comfyui/journal.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess, SimulatorProcessOptions } from '../support/simulator-process.js';
import { call, EventSession } from './comfyui-client.js';

export interface Entry {
  readonly outputs: Record<string, { images: { filename: string }[] }>;
  readonly status: { status_str: string; messages: [string, Record<string, unknown>][] };
}

/** One prompt whose client has been told that it is over. */
export interface Ended {
  readonly promptId: string;
  readonly session: EventSession;
  /** `undefined`: not in the history. */
  readonly entry: Entry | undefined;
  /** Of its `execution_error`, without the line break and tips; `null`: there was none. */
  readonly error: { readonly node: unknown; readonly type: unknown; readonly message: string } | null;
}

export interface FaultBench {
  readonly url: string;
  readonly arm: (fault: object) => Promise<void>;
  readonly submit: (prompt: object, more?: object) => Promise<{ promptId: string; session: EventSession }>;
  readonly run: (prompt: object, more?: object) => Promise<Ended>;
  /** What happened in this test. */
  readonly journal: (event: JournalEntry['event'], promptId?: string) => JournalEntry[];
  readonly process: SimulatorProcess;
}

const sessions: EventSession[] = [];

/** A simulator for the tests of a file that leave its process alive: they begin without faults, history and cache. */
export function sharedBench(options: SimulatorProcessOptions = {}): FaultBench {
  let bench: FaultBench | undefined;
  beforeAll(async () => {
    bench = benchOn(await startSimulator(options));
  });
  beforeEach(async () => {
    await call(`${it().url}/simulator/faults`, undefined, 'DELETE');
    await call(`${it().url}/simulator/vram`, { gib: null });
    await call(`${it().url}/history`, { clear: true });
    await call(`${it().url}/free`, { free_memory: true });
    const before = it().process.journal().length;
    started = before;
  });
  afterEach(closeSessions);
  afterAll(async () => {
    await bench?.process.stop();
  });
  let started = 0;
  const it = () => {
    if (bench === undefined) throw new Error('only inside a test');
    return bench;
  };
  return {
    get url() {
      return it().url;
    },
    get process() {
      return it().process;
    },
    arm: (fault) => it().arm(fault),
    submit: (prompt, more) => it().submit(prompt, more),
    run: (prompt, more) => it().run(prompt, more),
    journal: (event, promptId) => ofEvent(it().process.journal().slice(started), event, promptId),
  };
}

export function closeSessions(): void {
  for (const session of sessions.splice(0)) session.close();
}

export function benchOn(simulator: SimulatorProcess): FaultBench {
  const { url } = simulator;
  let clients = 0;
  const submit = async (prompt: object, more: object = {}) => {
    const clientId = `client-${(clients += 1)}`;
    const session = await EventSession.open(url, clientId);
    sessions.push(session);
    const answer = await call(`${url}/prompt`, { prompt, client_id: clientId, ...more });
    expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
    return { session, promptId: (answer.body as { prompt_id: string }).prompt_id };
  };
  return {
    url,
    process: simulator,
    submit,
    arm: async (fault) => {
      const { status, text } = await call(`${url}/simulator/faults`, fault);
      expect([status, text]).toEqual([201, expect.anything()]);
    },
    run: async (prompt, more) => {
      const { promptId, session } = await submit(prompt, more);
      await session.untilOver(promptId);
      const { body } = await call(`${url}/history/${promptId}`);
      return { promptId, session, entry: (body as Record<string, Entry>)[promptId], error: errorIn(session) };
    },
    journal: (event, promptId) => ofEvent(simulator.journal(), event, promptId),
  };
}

function errorIn(session: EventSession): Ended['error'] {
  const data = session.ofType('execution_error')[0];
  if (data === undefined) return null;
  const message = String(data['exception_message']).split('\nThis error means')[0]?.trim() ?? '';
  return { node: data['node_type'], type: data['exception_type'], message };
}

function ofEvent(entries: readonly JournalEntry[], event: string, promptId?: string): JournalEntry[] {
  return entries.filter((entry) => entry.event === event && (promptId === undefined || entry.promptId === promptId));
}
