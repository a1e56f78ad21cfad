import { activityInfo, cancellationSignal, heartbeat } from '@temporalio/activity';
import type { BackendActivities, SpooledOutput } from '../workflows/contracts/activities.js';
import { DownloadError } from './comfyui/errors.js';
import { FalDownloadError } from './fal/errors.js';
import type { TransferFault } from './spool/errors.js';
import type { Spool } from './spool/spool.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import { OutputInvalidError } from './media/errors.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

/** What one attempt leaves to the next: how often in a row a file was sent and did not arrive whole. */
interface FailedTransfers {
  readonly index: number;
  readonly times: number;
}

/** A connection that breaks may be bad luck; a file that never comes through is damaged where it lies. */
const MAX_TRANSFERS = 4;

export function createDownloadOutputs({ spool }: { readonly spool: Spool }): BackendActivities['downloadOutputs'] {
  /** Safe to retry: a file that lies whole in the spool of this submission is taken, any other is fetched again. */
  return async function downloadOutputs({ outputs, ...prompt }) {
    const signal = cancellationSignal();
    let failed = previousHeartbeat() ?? { index: 0, times: 0 };
    const fetch = async (index: number, reference: SpooledOutput['reference']): Promise<SpooledOutput> => {
      try {
        const { bytes, sha256 } = await spool.ensureSpooled({ ...prompt, index, reference, sha256: null }, signal);
        return { index, reference, bytes, sha256 };
      } catch (error) {
        const fault = transferFaultOf(error);
        if (fault === null || !(error instanceof Error)) throw error;
        failed = { index, times: failed.index === index ? failed.times + 1 : 1 };
        heartbeat(failed);
        // What is announced as empty has arrived as it was sent.
        if (fault !== 'empty' && failed.times < MAX_TRANSFERS) throw error;
        throw new OutputInvalidError([{ index, fault, detail: `${error.message}; tries: ${failed.times}` }]);
      }
    };
    try {
      return await heartbeatWhile(
        async () => {
          const spooled: SpooledOutput[] = [];
          for (const [index, reference] of outputs.entries()) {
            spooled.push(await fetch(index, reference));
            crashPoint('downloadOutputs.mid');
          }
          return spooled;
        },
        () => failed,
      );
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

/** `null` for what is no fault of the file, or may pass. */
function transferFaultOf(error: unknown): TransferFault | null {
  return error instanceof DownloadError || error instanceof FalDownloadError ? error.fault : null;
}

function previousHeartbeat(): FailedTransfers | undefined {
  return activityInfo().heartbeatDetails as FailedTransfers | undefined;
}
