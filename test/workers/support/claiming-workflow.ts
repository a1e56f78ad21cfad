import { proxyActivities } from '@temporalio/workflow';

interface Claiming {
  readonly claim: (name: string) => Promise<void>;
}

/** Claims one after the other, each from the next of the queues. */
export async function claimInTurn(queues: readonly string[], count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    const taskQueue = queues[number % queues.length] ?? '';
    const { claim } = proxyActivities<Claiming>({
      taskQueue,
      startToCloseTimeout: '1 minute',
      heartbeatTimeout: '15 seconds',
      retry: { initialInterval: '1 second', backoffCoefficient: 1 },
    });
    await claim(`${taskQueue} ${number}`);
  }
}
