import { startSimulator } from '../../support/simulator-process.js';
import type { SimulatorProcess, SimulatorProcessOptions } from '../../support/simulator-process.js';

const running: SimulatorProcess[] = [];

/** A simulator that ends with the test. */
export async function simulator(options: SimulatorProcessOptions = {}): Promise<SimulatorProcess> {
  const started = await startSimulator(options);
  running.push(started);
  return started;
}

/** Starts simulators of one version, for suites that run over all of them. */
export function simulatorsOf(version: string): typeof simulator {
  return async (options = {}) => simulator({ ...options, version });
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
