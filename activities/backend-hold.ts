import { ApplicationFailure } from '@temporalio/activity';

/** The hold of this process on its backend id, as the activities of the backend's Workflow see it. */
export interface BackendHold {
  readonly holderId: string;
  /** Aborted when this process stops or has lost the id. */
  readonly ending: AbortSignal;
  /** Told that the Workflow tends this holder; what it answers is called when it no longer does. */
  tended(): () => void;
  /** Told that the Workflow takes another process for the holder. */
  doubted(): void;
}

/** Throws when a task is meant for another process that holds, or held, the same backend; it is then tried again. */
export function ensureMeantForUs(hold: BackendHold, holderId: string): void {
  if (holderId === hold.holderId) return;
  hold.doubted();
  throw ApplicationFailure.create({ type: 'NOT_THE_HOLDER', message: 'Another process holds this backend' });
}
