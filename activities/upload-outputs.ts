import { createHash } from 'node:crypto';
import { activityInfo, cancellationSignal, log } from '@temporalio/activity';
import type { BackendActivities, UploadOutputsInput, ValidOutput } from '../workflows/contracts/activities.js';
import type { StoredOutput } from '../workflows/contracts/generation.js';
import type { Spool, SpooledFile } from './spool/spool.js';
import { superseded } from './failures/superseded.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import type { LateAttempt } from './late-attempt.js';
import { ObjectStoreError } from './storage/errors.js';
import type { FileUpload, ObjectFacts, ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface UploadOutputsDeps {
  readonly spool: Spool;
  readonly store: ObjectStore;
  readonly late: LateAttempt;
}

export function createUploadOutputs(deps: UploadOutputsDeps): BackendActivities['uploadOutputs'] {
  /**
   * Safe to retry: a conditional PUT never replaces what a later submission stored, and an object that already has the
   * same bytes counts as uploaded.
   */
  return async function uploadOutputs(input) {
    const { spool } = deps;
    try {
      return await heartbeatWhile(async () => {
        const stored: StoredOutput[] = [];
        for (const output of input.outputs) {
          cancellationSignal().throwIfAborted();
          const objectKey = objectKeyOf(input, output);
          await ensureStored({ ...deps, input, output, objectKey });
          stored.push(storedOutputOf(output, { objectKey, index: input.stored.length + output.index }));
        }
        await spool.remove(input.generationId);
        return stored;
      });
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

/** R3.3: `jobs/<generationId>/image_0.png`, counted for each kind over all parts of a batch. */
function objectKeyOf({ generationId, outputs, stored }: UploadOutputsInput, output: ValidOutput): string {
  const { kind } = output.reference;
  const before = outputs.filter(({ index }) => index < output.index).map(({ reference }) => reference.kind);
  const number = [...stored, ...before].filter((other) => other === kind).length;
  return `jobs/${generationId}/${kind}_${number}.${output.extension}`;
}

interface Target extends UploadOutputsDeps {
  readonly input: UploadOutputsInput;
  readonly output: ValidOutput;
  readonly objectKey: string;
}

async function ensureStored(target: Target): Promise<void> {
  const { store, input, output, objectKey } = target;
  // The first attempt of the first submission expects nothing there, and the condition of the write says so; any other
  // looks first, so that a large file that is there already is not sent again.
  const isFirst = input.submission === 1 && activityInfo().attempt === 1;
  const before = isFirst ? null : await store.facts(objectKey);
  if (before !== null && (await isSame(store, objectKey, before, output))) return;
  refuseIfSuperseded(target, before);
  await target.late.ensureCurrent();
  await put(target, before);
  crashPoint('uploadOutputs.mid');
  await removeIfForNobody(target);
  const after = await store.facts(objectKey);
  if (after !== null && (await isSame(store, objectKey, after, output))) return;
  refuseIfSuperseded(target, after);
  const cause = new Error(`the object has ${after?.bytes ?? 0} bytes, sent were ${output.bytes}, or other contents`);
  throw new ObjectStoreError(objectKey, { cause });
}

/** Nobody else would remove what is stored for a generation that has ended without it. */
async function removeIfForNobody({ store, late, input, objectKey }: Target): Promise<void> {
  if (!(await late.isForNobody())) return;
  await store.remove(objectKey);
  throw superseded(`Generation ${input.generationId} has ended while ${objectKey} was being stored; it is removed`);
}

function refuseIfSuperseded({ input: { submission }, objectKey }: Target, there: ObjectFacts | null): void {
  const stored = Number(there?.metadata['submission'] ?? 0);
  if (stored > submission) {
    throw superseded(`Submission ${stored} has stored ${objectKey}, this is ${submission}`);
  }
}

async function put({ spool, store, input, output, objectKey }: Target, before: ObjectFacts | null): Promise<void> {
  const { generationId, submission, promptId } = input;
  const { index, reference, sha256 } = output;
  const request = { generationId, submission, promptId, index, reference, sha256 };
  const file = await spool.ensureSpooled(request, cancellationSignal());
  const condition = before === null ? ({ kind: 'absent' } as const) : ({ kind: 'matches', etag: before.etag } as const);
  const written = await store.putFile(objectKey, uploadOf(file, { output, submission, condition }));
  // Refused: somebody was faster. The comparison that follows tells whether with the same bytes.
  if (written.ok) log.info(`Uploaded ${file.bytes} bytes to ${objectKey}`, { generationId, bytes: file.bytes });
}

function uploadOf(
  { path, bytes, sha256 }: SpooledFile,
  facts: { readonly output: ValidOutput; readonly submission: number; readonly condition: FileUpload['condition'] },
): FileUpload {
  const metadata = { submission: String(facts.submission) };
  return { path, bytes, sha256, mediaType: facts.output.mediaType, metadata, condition: facts.condition };
}

/** Size and checksum; a store that keeps no checksum is read back. */
async function isSame(
  store: ObjectStore,
  key: string,
  ...[facts, output]: [ObjectFacts, ValidOutput]
): Promise<boolean> {
  if (facts.bytes !== output.bytes) return false;
  return (facts.sha256 ?? (await sha256Of(store, key))) === output.sha256;
}

async function sha256Of(store: ObjectStore, key: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of (await store.open(key)) as AsyncIterable<Uint8Array>) hash.update(chunk);
  return hash.digest('hex');
}

function storedOutputOf(
  { reference, extension: _extension, ...facts }: ValidOutput,
  place: Pick<StoredOutput, 'objectKey' | 'index'>,
): StoredOutput {
  return { ...facts, ...place, kind: reference.kind };
}
