import { setTimeout as sleep } from 'node:timers/promises';
import { activityInfo, cancellationDetails, cancellationSignal, heartbeat, log } from '@temporalio/activity';
import type { FalActivities, FalSubmission, FalSubmitHeartbeat, SubmitToFalInput } from '../workflows/contracts/fal.js';
import { crashPoint } from '../infra/runtime/crash-point.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { embedFiles } from './fal/embed-files.js';
import { FalSubmissionUnknownError, NoFalKeyError } from './fal/errors.js';
import type { FalClient } from './fal/fal-client.js';
import { heartbeatWhile } from './heartbeat-while.js';
import { falRecordKey, falRecordOf } from './storage/fal-record.js';
import { readFalInput } from './storage/graph-documents.js';
import type { ObjectStore } from './storage/object-store.js';
import type { FalRecord, FalRecords, FalRecordStore } from './storage/fal-record.js';

/** Records, and the files of callers. */
type FalInputStore = FalRecordStore & Pick<ObjectStore, 'open'>;

export interface SubmitToFalDeps {
  /** `null`: no key is set. */
  readonly fal: FalClient | null;
  readonly store: FalInputStore;
}

export function createSubmitToFal({ fal, store }: SubmitToFalDeps): FalActivities['submitToFal'] {
  /**
   * Safe to retry: a record in the object store says that it is about to be posted, and then under which id. An attempt
   * that finds the first without the second posts nothing and says that the outcome is unknown. What fal refused for
   * certain leaves no record.
   */
  return async function submitToFal(input) {
    let beat: FalSubmitHeartbeat = { requestId: null };
    try {
      if (fal === null) throw new NoFalKeyError();
      const record = falRecordOf(store, falRecordKey(input.generationId, input.submission));
      const submission = await heartbeatWhile(
        async () => ensureSubmitted({ fal, store, record, input }),
        () => beat,
      );
      beat = { requestId: submission.requestId };
      heartbeat(beat); // an attempt whose end is lost leaves it for people to see
      await cancelIfAsked(fal, submission);
      return submission;
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

interface Submission {
  readonly fal: FalClient;
  readonly store: FalInputStore;
  readonly record: FalRecords;
  readonly input: SubmitToFalInput;
}

async function ensureSubmitted({ fal, store, record, input }: Submission): Promise<FalSubmission> {
  const { modelId, startSeconds } = input;
  const known = await record.read();
  if (known !== null) return knownSubmission(known, modelId);
  const body = await embedFiles(await readFalInput(store, input.input), store);
  cancellationSignal().throwIfAborted();
  const begun: FalRecord = { requestId: null, submittedAtMs: Date.now(), modelId };
  if (!(await record.begin(begun))) throw new FalSubmissionUnknownError(modelId);
  try {
    const requestId = await fal.submit({ modelId, input: body, startSeconds });
    crashPoint('submitToFal.mid');
    await keepRecord(record, { ...begun, requestId });
    log.info('Submitted to fal.ai', { requestId, modelId, submission: input.submission });
    return { modelId, requestId, submittedAtMs: begun.submittedAtMs };
  } catch (error) {
    if (!(error instanceof FalSubmissionUnknownError)) await record.forget();
    throw error;
  }
}

function knownSubmission({ requestId, submittedAtMs }: FalRecord, modelId: string): FalSubmission {
  if (requestId !== null) return { modelId, requestId, submittedAtMs };
  log.warn('An earlier attempt posted, or was about to, and left no request id', { attempt: activityInfo().attempt });
  throw new FalSubmissionUnknownError(modelId);
}

const KEEP_TRIES = 5;
const KEEP_PAUSE_MS = 1_000;

/**
 * fal has the request and this process alone knows its id. A store that is away for a moment must not lose it; when it
 * stays away, the result of this attempt still holds the id.
 */
async function keepRecord(record: FalRecords, kept: FalRecord): Promise<void> {
  for (let attempt = 1; attempt <= KEEP_TRIES; attempt += 1) {
    try {
      await record.keep(kept);
      return;
    } catch (error) {
      log.warn('Could not record the id of a request on fal.ai', { requestId: kept.requestId, error });
      if (attempt < KEEP_TRIES) await sleep(KEEP_PAUSE_MS);
    }
  }
}

/** The Workflow was cancelled while it was posted: nobody will wait for it. A worker that stops cancels nothing. */
async function cancelIfAsked(fal: FalClient, submission: FalSubmission): Promise<void> {
  if (cancellationDetails()?.cancelRequested !== true) return;
  const outcome = await fal.cancel(submission);
  log.info('Cancelled on fal.ai', { requestId: submission.requestId, outcome });
  cancellationSignal().throwIfAborted();
}
