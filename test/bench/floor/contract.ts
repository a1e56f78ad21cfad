export interface FloorInput {
  readonly backendId: string;
}

export const FLOOR_ACTIVITIES = [
  'discoverBackend',
  'submitPrompt',
  'awaitCompletion',
  'downloadOutputs',
  'validateOutputs',
  'uploadOutputs',
  'recordProgress',
  'recordOutcome',
] as const;

/** The activities of a generation with empty bodies. */
export type EmptyActivities = Readonly<Record<(typeof FLOOR_ACTIVITIES)[number], () => Promise<void>>>;
