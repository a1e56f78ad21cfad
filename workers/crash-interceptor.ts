import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import { CRASHABLE_ACTIVITIES, crashPoint, isCrashArmed } from '../infra/runtime/crash-point.js';

/** How long the answer of an activity needs to reach Temporal and be recorded there, with room to spare. */
const RECORDED_AFTER_MS = 100;

/** The crash points before and after every activity; those in the middle stand in the activities, where the effect is. */
export const crashInterceptor: ActivityInterceptorsFactory = ({ info }) => {
  const step = CRASHABLE_ACTIVITIES.find((known) => known === info.activityType);
  if (step === undefined || !isCrashArmed()) return {};
  return {
    inbound: {
      async execute(input, next) {
        crashPoint(`${step}.before`);
        const result = await next(input);
        setTimeout(() => {
          crashPoint(`${step}.after`);
        }, RECORDED_AFTER_MS);
        return result;
      },
    },
  };
};
