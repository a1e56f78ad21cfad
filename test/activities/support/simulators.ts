import { afterAll } from '@jest/globals';
import { startSimulator } from '../../support/simulator-process.js';
import type { SimulatorProcess, SimulatorProcessOptions } from '../../support/simulator-process.js';
import { until } from '../../support/until.js';

const running: SimulatorProcess[] = [];

/** A simulator that ends with the test. */
export async function simulator(options: SimulatorProcessOptions = {}): Promise<SimulatorProcess> {
  const started = await startSimulator(options);
  running.push(started);
  return started;
}

/**
 * For suites that run over all versions, to be called inside `describe`: simulators of one version. Starting one costs
 * most of a test's time, so the next test that wants the same gets it emptied; only files of outputs remain.
 */
export function simulatorsOf(version: string): typeof simulator {
  const kept = new Map<string, SimulatorProcess>();
  afterAll(async () => {
    await Promise.all([...kept.values()].map(async (one) => one.stop()));
  });
  return async (options = {}) => {
    if (options.port !== undefined) return simulator({ ...options, version });
    const key = JSON.stringify(options);
    const known = kept.get(key);
    const emptied = known === undefined ? null : await emptiedOrNull(known);
    if (emptied !== null) return emptied;
    await known?.stop(); // the test before killed it
    const started = await startSimulator({ ...options, version });
    kept.set(key, started);
    return started;
  };
}

/** Without prompts, results, cache and faults, and with a journal that begins now; `null` when it is dead. */
async function emptiedOrNull(one: SimulatorProcess): Promise<SimulatorProcess | null> {
  const post = async (path: string, body: object) =>
    fetch(one.url + path, { method: 'POST', body: JSON.stringify(body) });
  try {
    await fetch(`${one.url}/simulator/faults`, { method: 'DELETE' });
  } catch {
    return null;
  }
  await until('nothing is left to render', async () => {
    await post('/queue', { clear: true });
    await post('/interrupt', {});
    const answer = (await (await fetch(`${one.url}/prompt`)).json()) as { exec_info: { queue_remaining: number } };
    return answer.exec_info.queue_remaining === 0;
  });
  await post('/history', { clear: true });
  await post('/free', { free_memory: true });
  const before = one.journal().length;
  return { ...one, journal: () => one.journal().slice(before) };
}

/** For `afterEach`. */
export async function stopSimulators(): Promise<void> {
  await Promise.all(running.splice(0).map(async (one) => one.stop()));
}

export async function arm(on: SimulatorProcess, fault: object): Promise<void> {
  const response = await fetch(`${on.url}/simulator/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fault),
  });
  if (response.status !== 201) throw new Error(await response.text());
}

/** How often something happened, to one prompt or at all. */
export function countOf(on: SimulatorProcess, event: string, promptId?: string): number {
  return on
    .journal()
    .filter((entry) => entry.event === event && (promptId === undefined || entry.promptId === promptId)).length;
}
