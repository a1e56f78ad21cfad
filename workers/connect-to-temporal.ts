import { setTimeout as sleep } from 'node:timers/promises';
import { NativeConnection, TransportError } from '@temporalio/worker';
import { untilAborted } from '../activities/until-aborted.js';
import type { Logger } from '../infra/runtime/logger.js';
import type { TemporalConnectionConfig } from '../infra/runtime/temporal-connection.js';
import { WaitingNotice } from './waiting-notice.js';

const PAUSE_MS = 1_000;

/** A connection as soon as Temporal answers: a worker that starts before it waits and says so. */
export async function connectToTemporal(options: {
  readonly temporal: TemporalConnectionConfig;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Promise<NativeConnection> {
  const { temporal, logger, signal } = options;
  const notice = new WaitingNotice(logger);
  for (;;) {
    try {
      return await untilAborted(signal, NativeConnection.connect(temporal.connection));
    } catch (error) {
      if (!(error instanceof TransportError) || signal.aborted) throw error;
      notice.say({ err: error, address: temporal.connection.address }, 'Temporal does not answer; trying again');
      await sleep(PAUSE_MS, undefined, { signal });
    }
  }
}

/**
 * A connection for the Workers of one ComfyUI. The SDK keeps the abort signal of each activity in an `AsyncLocalStorage` of
 * the Worker's connection, for calls that this kind of connection does not abort (1.24: `worker/lib/activity.js`,
 * `sendRequest` in `worker/lib/connection.js`), and each storage that was ever used takes part in every promise of the
 * process: with sixteen connections that was a tenth of what its main thread did (profile in `docs/performance.md`).
 */
export async function connectForPolling(...options: Parameters<typeof connectToTemporal>): Promise<NativeConnection> {
  const connection = await connectToTemporal(...options);
  connection.withAbortSignal = async (_signal, work) => work();
  return connection;
}
