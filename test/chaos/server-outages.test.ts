import { beforeAll, expect, test } from '@jest/globals';
import { inLanes } from '../support/in-lanes.js';
import { SERVER_NAMES, startOwnServers } from '../support/own-servers.js';
import type { OwnServers, ServerName } from '../support/own-servers.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { untilStopped } from '../support/until-stopped.js';

const ACTIVITIES = [
  'discoverBackend',
  'submitPrompt',
  'awaitCompletion',
  'downloadOutputs',
  'validateOutputs',
  'uploadOutputs',
  'recordProgress',
  'recordOutcome',
  'stopPrompt',
] as const;
/** Ends as CANCELLED, as a prompt is only stopped for that. */
const STOPPING = 'stopPrompt';
/** The middle of `awaitCompletion` is a look that finds the prompt running, and looks are 2.5 s apart. */
const STEPS: Readonly<Record<string, number>> = { awaitCompletion: 60, [STOPPING]: 150 };
const CASES = SERVER_NAMES.flatMap((server) => ACTIVITIES.map((activity) => ({ server, activity })));

let seen: ReadonlyMap<string, SeenGeneration | Error>;
let problems: ReadonlyMap<ServerName, unknown>;

beforeAll(async () => {
  const collected = new Map<string, SeenGeneration | Error>();
  problems = await inLanes(SERVER_NAMES, async (server) => killInEveryActivity(server, collected));
  seen = collected;
}, 15 * 60_000);

test.each(CASES)(
  'kill -9 of $server in the middle of $activity: the generation ends as it should',
  ({ server, activity }) => {
    const generation = seen.get(`${server} ${activity}`);
    if (generation instanceof Error) throw generation;
    if (activity === STOPPING) expect(generation).toMatchObject({ status: 'CANCELLED', outputs: [] });
    else expect(generation).toMatchObject({ status: 'COMPLETED', attempts: [], outputs: [{ width: 64, height: 64 }] });
  },
);

test.each(SERVER_NAMES)(
  'after all outages of %s every prompt was rendered once, and no invariant is broken',
  (server) => {
    expect(problems.get(server)).toEqual({ rendered: ACTIVITIES.length, received: ACTIVITIES.length });
  },
);

/** A stack of its own; the worker stops itself in the middle of the activity, and meanwhile the server dies. */
async function killInEveryActivity(
  server: ServerName,
  collected: Map<string, SeenGeneration | Error>,
): Promise<{ readonly rendered: number; readonly received: number }> {
  const own = await startOwnServers();
  const simulator = await startSimulator({ secondsPerStep: 0.1 });
  try {
    const service = await startService({ comfyUrls: [simulator.url], servers: own.servers });
    for (const activity of ACTIVITIES) {
      const outcome = await killIn(activity, { service, own, server }).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error)),
      );
      collected.set(`${server} ${activity}`, outcome);
    }
    await service.stop();
    const events = simulator.journal().map(({ event }) => event);
    return {
      rendered: events.filter((event) => event === 'rendering_finished').length,
      received: events.filter((event) => event === 'prompt_received').length,
    };
  } finally {
    await simulator.stop();
    await own.stop();
  }
}

async function killIn(
  activity: string,
  { service, own, server }: { readonly service: Service; readonly own: OwnServers; readonly server: ServerName },
): Promise<SeenGeneration> {
  await service.killWorker('SIGTERM');
  await service.startWorker({ CRASH_AT: `${activity}.mid:1:SIGSTOP` });
  // A server that has just come back may make the API answer 503, whose remedy is to try again.
  const { id } = await until(`the request for ${activity} is accepted`, async () =>
    service.submit(
      {
        template: 'sd15-text-to-image',
        parameters: { prompt: activity, width: 64, height: 64, steps: STEPS[activity] ?? 15, seed: 1 },
      },
      { 'Idempotency-Key': activity },
    ),
  );
  if (activity === STOPPING) {
    await service.untilStatus(id, 'PROCESSING', 60_000);
    await service.post(`/v1/generations/${id}/cancel`);
  }
  await untilStopped(service.workerPid());
  await own.kill(server);
  service.signalWorker('SIGCONT');
  await own.start(server);
  return service.untilStatus(id, activity === STOPPING ? 'CANCELLED' : 'COMPLETED', 120_000);
}
