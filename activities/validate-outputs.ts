import { buffer } from 'node:stream/consumers';
import { cancellationSignal, log } from '@temporalio/activity';
import pLimit from 'p-limit';
import type {
  BackendActivities,
  SpooledOutput,
  ValidateOutputsInput,
  ValidOutput,
} from '../workflows/contracts/activities.js';
import type { Spool } from './spool/spool.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import type { OutputVerdict } from './media/errors.js';
import { FaceNotFoundError, OutputInvalidError } from './media/errors.js';
import { inspectOutput } from './media/inspect-output.js';
import { isUnchanged } from './media/is-unchanged.js';
import type { ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface ValidateOutputsDeps {
  readonly spool: Spool;
  /** Has the pictures that callers brought. */
  readonly store: Pick<ObjectStore, 'open'>;
  /** Decodes at once, over all generations of this worker: decoding takes a whole core each. */
  readonly maxDecodes: number;
  /** Decodes videos and sounds; `null` where there is none. */
  readonly ffmpegPath: string | null;
}

export function createValidateOutputs(deps: ValidateOutputsDeps): BackendActivities['validateOutputs'] {
  const { spool } = deps;
  const decoding = pLimit(deps.maxDecodes);
  /** Safe to retry: it only reads; a file that is no longer in the spool is fetched again and compared by its hash. */
  return async function validateOutputs(input) {
    try {
      return await heartbeatWhile(async () => {
        const checked = await Promise.all(
          input.outputs.map(async (output) => decoding(async () => check(deps, input, output))),
        );
        crashPoint('validateOutputs.mid');
        const invalid = [...checked.filter((result) => 'fault' in result), ...countFault(input)];
        if (invalid.length === 0) {
          const valid = checked.filter((result) => 'mediaType' in result);
          if (await hasPassedThrough(deps, input, valid)) throw new FaceNotFoundError();
          return valid;
        }
        log.error('ComfyUI delivered invalid outputs', { generationId: input.generationId, invalid });
        // They must be fetched again, not read again: what lies in the spool is what was judged.
        await spool.remove(input.generationId);
        throw new OutputInvalidError(invalid);
      });
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

async function check(
  { spool, ffmpegPath }: ValidateOutputsDeps,
  input: ValidateOutputsInput,
  output: SpooledOutput,
): Promise<ValidOutput | OutputVerdict> {
  const { generationId, submission, promptId, expected } = input;
  const { index, reference, sha256 } = output;
  const request = { generationId, submission, promptId, index, reference, sha256 };
  const signal = cancellationSignal();
  const { path } = await spool.ensureSpooled(request, signal);
  const verdict = await inspectOutput({ path, reference, expected, ffmpegPath, signal });
  if (!verdict.ok) return { index, fault: verdict.fault, detail: verdict.detail };
  const { ok: _ok, hasSound: _hasSound, ...facts } = verdict;
  return { ...output, ...facts };
}

/** A swap of faces that finds none delivers what it was given, and ComfyUI calls that a success. */
async function hasPassedThrough(
  { spool, store }: ValidateOutputsDeps,
  { generationId, submission, promptId, expected }: ValidateOutputsInput,
  outputs: readonly ValidOutput[],
): Promise<boolean> {
  const { noFaceIfUnchanged } = expected;
  if (noFaceIfUnchanged === undefined) return false;
  const original = await buffer(await store.open(noFaceIfUnchanged));
  for (const { index, reference, sha256 } of outputs) {
    const request = { generationId, submission, promptId, index, reference, sha256 };
    const { path } = await spool.ensureSpooled(request, cancellationSignal());
    if (reference.kind !== 'image' || !(await isUnchanged(path, original))) return false;
  }
  return true;
}

function countFault({ outputs, expected }: ValidateOutputsInput): readonly OutputVerdict[] {
  const { count } = expected;
  if (count === null || count === outputs.length) return [];
  return [
    { index: outputs.length, fault: 'wrong_count', detail: `there are ${outputs.length} outputs, asked were ${count}` },
  ];
}
