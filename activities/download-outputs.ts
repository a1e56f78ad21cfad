import { cancellationSignal } from '@temporalio/activity';
import type { BackendActivities, SpooledOutput } from '../workflows/contracts/activities.js';
import type { Spool } from './spool/spool.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export function createDownloadOutputs({ spool }: { readonly spool: Spool }): BackendActivities['downloadOutputs'] {
  /** Safe to retry: a file that lies whole in the spool of this submission is taken, any other is fetched again. */
  return async function downloadOutputs({ outputs, ...prompt }) {
    const signal = cancellationSignal();
    try {
      return await heartbeatWhile(async () => {
        const spooled: SpooledOutput[] = [];
        for (const [index, reference] of outputs.entries()) {
          const { bytes, sha256 } = await spool.ensureSpooled({ ...prompt, index, reference, sha256: null }, signal);
          crashPoint('downloadOutputs.mid');
          spooled.push({ index, reference, bytes, sha256 });
        }
        return spooled;
      });
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}
