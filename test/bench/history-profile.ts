import type { Client } from '@temporalio/client';
import { quantile } from './quantile.js';

/** What one event of a history says about time; the rest of it is left out. */
export interface TimedEvent {
  readonly id: number;
  readonly atMs: number;
  /** The name of the activity, on the event that scheduled it. */
  readonly scheduled: string | null;
  /** For the start and the end of an activity: the event that scheduled it. */
  readonly scheduledEventId: number | null;
  readonly isStart: boolean;
}

/** One activity: from scheduled to taken by a worker, then to its result. */
export interface Step {
  readonly name: string;
  readonly waitMs: number;
  readonly runMs: number;
}

export async function timedEventsOf(temporal: Client, workflowId: string): Promise<readonly TimedEvent[]> {
  const handle = temporal.workflow.getHandle(workflowId);
  await handle.result(); // the answer to the client comes a little earlier
  const { events } = await handle.fetchHistory();
  return (events ?? []).map((event) => {
    const started = event.activityTaskStartedEventAttributes;
    const ended = event.activityTaskCompletedEventAttributes;
    const scheduledEventId = (started ?? ended)?.scheduledEventId;
    const { seconds, nanos } = event.eventTime ?? {};
    return {
      id: Number(event.eventId),
      atMs: Number(seconds) * 1_000 + (nanos ?? 0) / 1e6,
      scheduled: event.activityTaskScheduledEventAttributes?.activityType?.name ?? null,
      scheduledEventId: scheduledEventId == null ? null : Number(scheduledEventId),
      isStart: started != null,
    };
  });
}

/** The activities of one history in their order, and what the Workflow itself took between them. */
export function stepsOf(events: readonly TimedEvent[]): readonly Step[] {
  const activities = events.flatMap(({ id, atMs, scheduled }) => {
    if (scheduled === null) return [];
    const own = events.filter((event) => event.scheduledEventId === id);
    const startedAt = own.find(({ isStart }) => isStart)?.atMs ?? Number.NaN;
    const endedAt = own.find(({ isStart }) => !isStart)?.atMs ?? Number.NaN;
    return [{ name: scheduled, waitMs: startedAt - atMs, runMs: endedAt - startedAt }];
  });
  const first = events[0]?.atMs ?? Number.NaN;
  const last = events.at(-1)?.atMs ?? Number.NaN;
  const inActivities = activities.reduce((sum, { waitMs, runMs }) => sum + waitMs + runMs, 0);
  return [...activities, { name: 'Workflow Tasks', waitMs: 0, runMs: last - first - inActivities }];
}

/** The median of each step over many histories. */
export function medianSteps(histories: readonly (readonly Step[])[]): readonly Step[] {
  const names = [...new Set(histories.flatMap((steps) => steps.map(({ name }) => name)))];
  return names.map((name) => {
    const own = histories.flatMap((steps) => steps.filter((step) => step.name === name));
    return {
      name,
      waitMs: quantile(
        own.map(({ waitMs }) => waitMs),
        0.5,
      ),
      runMs: quantile(
        own.map(({ runMs }) => runMs),
        0.5,
      ),
    };
  });
}
