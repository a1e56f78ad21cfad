import { generationWorkflowId } from '../../workflows/contracts/generation.js';
import { temporalCommand } from './temporal-command.js';
import { webUiPost } from './web-ui.js';

/** What operators do to a generation, by whatever way. */
export interface Operator {
  readonly cancel: (generationId: string) => Promise<void>;
  readonly terminate: (generationId: string, reason: string) => Promise<void>;
  /** To an event of the latest run. */
  readonly reset: (generationId: string, to: { readonly runId: string; readonly eventId: number }) => Promise<void>;
  /** With one JSON value, or none. */
  readonly signal: (generationId: string, name: string, value?: unknown) => Promise<void>;
  readonly pauseActivity: (generationId: string, type: string) => Promise<void>;
  readonly unpauseActivity: (generationId: string, type: string) => Promise<void>;
  readonly resetActivity: (generationId: string, type: string) => Promise<void>;
}

export function operatorByCommand(namespace: string): Operator {
  const run = async (...args: readonly string[]): Promise<void> => void (await temporalCommand(namespace, ...args));
  const of = (id: string) => ['--workflow-id', generationWorkflowId(id)];
  const activity = (action: string) => async (id: string, type: string) =>
    run('activity', action, ...of(id), '--activity-id', await pendingActivityId(namespace, id, type));
  return {
    cancel: async (id) => run('workflow', 'cancel', ...of(id)),
    terminate: async (id, reason) => run('workflow', 'terminate', ...of(id), '--reason', reason),
    reset: async (id, { runId, eventId }) =>
      run('workflow', 'reset', ...of(id), '--run-id', runId, '--event-id', String(eventId), '--reason', 'test'),
    signal: async (id, name, value) =>
      run(
        ...['workflow', 'signal', ...of(id), '--name', name],
        ...(value === undefined ? [] : ['--input', JSON.stringify(value)]),
      ),
    pauseActivity: activity('pause'),
    unpauseActivity: activity('unpause'),
    resetActivity: activity('reset'),
  };
}

/** The id of a pending activity, which the command line takes, as `temporal workflow describe` shows it. */
export async function pendingActivityId(namespace: string, generationId: string, type: string): Promise<string> {
  const workflowId = generationWorkflowId(generationId);
  const text = await temporalCommand(
    namespace,
    ...['workflow', 'describe', '--workflow-id', workflowId, '--output', 'json'],
  );
  const { pendingActivities = [] } = JSON.parse(text) as {
    readonly pendingActivities?: readonly {
      readonly activityId: string;
      readonly activityType: { readonly name: string };
    }[];
  };
  const found = pendingActivities.find(({ activityType }) => activityType.name === type);
  if (found === undefined) throw new Error(`Can't find pending activity ${type} of ${workflowId}`);
  return found.activityId;
}

export function operatorInWebUi(namespace: string): Operator {
  const ofWorkflow = (id: string) => `workflows/${encodeURIComponent(generationWorkflowId(id))}`;
  const activity = (action: string) => async (id: string, type: string) => {
    const body = { execution: { workflowId: generationWorkflowId(id) }, type };
    await webUiPost(namespace, `activities-deprecated/${action}`, body).catch(async (error: unknown) => {
      if (!String(error).includes('404')) throw error;
      await webUiPost(namespace, `activities/${action}`, body); // Web UIs before 2026
    });
  };
  return {
    cancel: async (id) => webUiPost(namespace, `${ofWorkflow(id)}/cancel`, {}),
    terminate: async (id, reason) => webUiPost(namespace, `${ofWorkflow(id)}/terminate`, { reason }),
    reset: async (id, { runId, eventId }) =>
      webUiPost(namespace, `${ofWorkflow(id)}/reset`, {
        ...{ workflowExecution: { workflowId: generationWorkflowId(id), runId }, reason: 'test' },
        ...{ workflowTaskFinishEventId: String(eventId), requestId: `${runId}-${eventId}` },
      }),
    signal: async (id, name, value) =>
      webUiPost(namespace, `${ofWorkflow(id)}/signal/${name}`, {
        ...(value !== undefined && { input: { payloads: [jsonPayload(value)] } }),
      }),
    pauseActivity: activity('pause'),
    unpauseActivity: activity('unpause'),
    resetActivity: activity('reset'),
  };
}

/** As the page sends it: JSON in base64, and what it is. */
function jsonPayload(value: unknown): unknown {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return { metadata: { encoding: base64('json/plain') }, data: base64(JSON.stringify(value)) };
}
