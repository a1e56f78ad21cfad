import type { WorkerOptions } from '@temporalio/worker';
import { crashInterceptor } from './crash-interceptor.js';

/** What every Worker of ours differs in from the SDK's defaults. */
export const SHARED_WORKER_OPTIONS = {
  // The default holds heartbeats back for up to a minute: a cancel would be noticed that late.
  maxHeartbeatThrottleInterval: '1 second',
  defaultHeartbeatThrottleInterval: '1 second',
  // Short uploads and records finish; what takes longer is told WORKER_SHUTDOWN and taken up again by the next worker.
  shutdownGraceTime: '3 seconds',
  shutdownForceTime: '8 seconds',
  interceptors: { activity: [crashInterceptor] },
} as const satisfies Partial<WorkerOptions>;
