import * as recoveries from './recoveries.js';

/** Every recovery that there is, by a name for its text. */
const RECOVERIES = {
  freeMemory: recoveries.FREE_MEMORY,
  freeAll: recoveries.FREE_ALL,
  splitBatch: recoveries.SPLIT_BATCH,
  tiledDecode: recoveries.TILED_DECODE,
  reduceParams: recoveries.REDUCE_PARAMS,
  adjustParams: recoveries.ADJUST_PARAMS,
  switchModel: recoveries.SWITCH_MODEL,
  otherBackend: recoveries.OTHER_BACKEND,
  cleanUp: recoveries.CLEAN_UP,
  resubmitLost: recoveries.RESUBMIT_LOST,
  resubmitInterrupted: recoveries.RESUBMIT_INTERRUPTED,
  resubmitCrashed: recoveries.RESUBMIT_CRASHED,
  resume: recoveries.RESUME,
  resubmitLater: recoveries.RESUBMIT_LATER,
  resumeLater: recoveries.RESUME_LATER,
  waitForRestart: recoveries.WAIT_FOR_RESTART,
  takeOver: recoveries.TAKE_OVER,
  leaveStuck: recoveries.LEAVE_STUCK,
  rediscover: recoveries.REDISCOVER,
  retry: recoveries.RETRY,
  retryKnown: recoveries.RETRY_KNOWN,
  downloadAgain: recoveries.DOWNLOAD_AGAIN,
  renderAgain: recoveries.RENDER_AGAIN,
  fallBack: recoveries.FALL_BACK,
} as const satisfies Readonly<Record<string, recoveries.Recovery>>;

export type RecoveryId = keyof typeof RECOVERIES;
export type RecoveryTexts = Readonly<Record<RecoveryId, string>>;

/** As they are recorded: in English. */
export const RECORDED_TEXTS: RecoveryTexts = Object.fromEntries(
  Object.entries(RECOVERIES).map(([id, { message }]) => [id, message]),
) as Record<RecoveryId, string>;

const IDS = new Map(Object.entries(RECORDED_TEXTS).map(([id, text]) => [text, id as RecoveryId]));

/** What a rule of the operators adds to a text: that it has recognised the failure. */
export function byRule(text: string, rule: string): string {
  return `${text} (rule ${rule})`;
}

const BY_RULE = / \(rule ([\w-]+)\)$/;

/** Which text was recorded, and the rule that it names; `null` for one that this version does not write. */
export function recordedText(message: string): { readonly id: RecoveryId; readonly rule: string | null } | null {
  const id = IDS.get(message.replace(BY_RULE, ''));
  return id === undefined ? null : { id, rule: BY_RULE.exec(message)?.[1] ?? null };
}
