import type { temporal } from '@temporalio/proto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startScriptedTemporal } from '../support/scripted-generation.js';
import type { ScriptedRun, ScriptedTemporal } from '../support/scripted-generation.js';
import { TIMINGS_MEMO } from '../../workflows/contracts/generation.js';
import type { WorkerTimings } from '../../workflows/domain/worker-timings.js';

let scripted: ScriptedTemporal;

beforeAll(async () => {
  scripted = await startScriptedTemporal();
}, 60_000);

afterAll(async () => {
  await scripted.close();
}, 30_000);

/** Heartbeat and schedule-to-start timeout in seconds with which each activity was scheduled. */
async function scheduledOf({ handle }: ScriptedRun): Promise<Readonly<Record<string, readonly (number | null)[]>>> {
  await handle.result();
  const { events } = await handle.fetchHistory();
  const attributes = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: each }) => each ?? []);
  return Object.fromEntries(
    attributes.map(({ activityType, heartbeatTimeout, scheduleToStartTimeout }) => [
      activityType?.name ?? '',
      [secondsOf(heartbeatTimeout), secondsOf(scheduleToStartTimeout)],
    ]),
  );
}

type Duration = temporal.api.workflow.v1.IPendingActivityInfo['currentRetryInterval'];

function secondsOf(duration: Duration): number | null {
  return duration == null ? null : Number(duration.seconds ?? 0);
}

test('a generation schedules its activities with the timings that it was started with', async () => {
  const timings: WorkerTimings = { heartbeatTimeoutSeconds: 4, scheduleToStartSeconds: 7 };
  const run = await scripted.run({}, { startSeconds: 60 }, { [TIMINGS_MEMO]: timings });
  const scheduled = await scheduledOf(run);
  for (const name of ['submitPrompt', 'awaitCompletion', 'downloadOutputs', 'validateOutputs', 'uploadOutputs']) {
    expect({ name, timeouts: scheduled[name] }).toEqual({ name, timeouts: [4, 7] });
  }
  expect(scheduled['discoverBackend']?.[0]).toBe(4);
});

test('one that was started before there were timings keeps 15 and 60 seconds', async () => {
  const scheduled = await scheduledOf(await scripted.run({}));
  expect(scheduled['awaitCompletion']).toEqual([15, 60]);
  expect(scheduled['discoverBackend']?.[0]).toBe(15);
});

test('a backend whose queue no worker polls is given up after the schedule-to-start timeout, and another one renders', async () => {
  let claims = 0;
  const run = await scripted.run(
    {
      async discoverBackend() {
        claims += 1;
        const backendId = claims === 1 ? 'lost' : 'b1';
        const claim = { submission: claims, promptId: `p${claims}`, decision: 'new', device: 'gpu' } as const;
        return { ...claim, backendId, taskQueue: `gpu@${backendId}` };
      },
      observeBackend: async () => ({ isHeld: false }),
    },
    {},
    { [TIMINGS_MEMO]: { heartbeatTimeoutSeconds: 3, scheduleToStartSeconds: 1 } },
  );
  await expect(run.handle.result()).resolves.toMatchObject({ backendId: 'b1', submission: 2 });
  const observed = run.calls.filter((call) => call.startsWith('observeBackend'));
  expect(observed).toHaveLength(1);
});
