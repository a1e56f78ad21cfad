import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/common';
import type { FailureRecord } from './contracts/activities.js';
import type { RenderedSoFar } from './contracts/checkpoint.js';
import { ALREADY_ENDED, SUPERSEDED } from './contracts/generation.js';
import { isFailureKind } from './domain/failure.js';
import { MEDIA_FAULTS } from './domain/media-signature.js';
import type { MediaFault } from './domain/media-signature.js';

/** What an activity failed with, as a record of our own kinds. */
export function failureRecordOf(error: unknown): FailureRecord {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    const facts = cause.details?.[0];
    const kind = isFailureKind(cause.type) ? cause.type : 'UNEXPECTED';
    return { kind, detail: cause.message, facts: isRecord(facts) ? facts : {} };
  }
  if (cause instanceof TimeoutFailure) {
    const activity = error instanceof ActivityFailure ? error.activityType : 'an activity';
    return {
      kind: 'NETWORK_ERROR',
      detail: `The worker did not finish ${activity} in time`,
      facts: { timeout: cause.timeoutType },
    };
  }
  return { kind: 'UNEXPECTED', detail: error instanceof Error ? error.message : String(error), facts: {} };
}

/** True when nobody took a task from a backend's queue in time. */
export function isScheduleToStartTimeout(error: unknown): boolean {
  return timeoutTypeOf(error) === 'SCHEDULE_TO_START';
}

/**
 * True when a claim waited until its deadline. The server sets an unset schedule-to-start timeout to the schedule-to-close
 * one, so a claim that nobody ever took reports the former, and one that failed on the way the latter, or its last failure
 * when the next pause would have passed the deadline.
 */
export function isClaimTimeout(error: unknown): boolean {
  return isOutOfTime(error) || isScheduleToStartTimeout(error);
}

/** True when the schedule-to-close timeout has passed, or the next pause between two attempts would have passed it. */
export function isOutOfTime(error: unknown): boolean {
  if (error instanceof ActivityFailure && error.retryState === 'TIMEOUT') return true;
  return timeoutTypeOf(error) === 'SCHEDULE_TO_CLOSE';
}

/** True when the generation has ended already: this run was reset too late. */
export function isAlreadyEnded(error: unknown): boolean {
  return typeOf(error) === ALREADY_ENDED;
}

/** True when this run was reset to a point before a later submission, which is the one that counts. */
export function isSuperseded(error: unknown): boolean {
  return typeOf(error) === SUPERSEDED;
}

/** What was wrong with the outputs, from the facts of an `OUTPUT_INVALID`. */
export function mediaFaultsOf({ facts }: FailureRecord): readonly MediaFault[] {
  const verdicts = facts['verdicts'];
  if (!Array.isArray(verdicts)) return [];
  return verdicts.flatMap((verdict: unknown) => {
    const fault = isRecord(verdict) ? MEDIA_FAULTS.find((known) => known === verdict['fault']) : undefined;
    return fault === undefined ? [] : [fault];
  });
}

/** How far the rendering had come, from the facts of a failure of `awaitCompletion`. */
export function renderedSoFar({ facts }: FailureRecord): RenderedSoFar | null {
  const rendered = facts['rendered'];
  if (!isRecord(rendered)) return null;
  const { percent, completedNodes } = rendered;
  if (typeof percent !== 'number' || !Array.isArray(completedNodes)) return null;
  return { percent, completedNodes: completedNodes.filter((id) => typeof id === 'string') };
}

function typeOf(error: unknown): string | null {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof ApplicationFailure ? (cause.type ?? null) : null;
}

function timeoutTypeOf(error: unknown): TimeoutFailure['timeoutType'] | null {
  return error instanceof ActivityFailure && error.cause instanceof TimeoutFailure ? error.cause.timeoutType : null;
}

/** A JSON object, of whatever. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
