import { Router } from 'express';
import type { Request, RequestHandler, Response } from 'express';
import type { Checkpoints } from '../error-recovery/checkpoints.js';
import { errorDistribution } from '../error-recovery/error-keys.js';
import { changeJobGraph } from '../error-recovery/job-graph.js';
import { jobStatusView } from '../error-recovery/job-view.js';
import type { AcceptGeneration } from '../generations/accept-generation.js';
import { idempotencyKeyFrom } from '../generations/idempotency.js';
import type { GenerationReader } from '../generations/read-generations.js';
import type { RetryFailed } from '../generations/retry-failed.js';
import type { RetryGeneration } from '../generations/retry-generation.js';
import type { CheckReadiness, Readiness } from '../health-checks.js';
import { negotiateLanguage } from '../messages/negotiate-language.js';
import { jsonBody, optionalJsonBody } from '../middleware/json-body.js';
import { ProblemError } from '../problem-error.js';
import { jobRetrySchema, jobSubmitSchema, retryFailedSchema } from '../schemas/error-recovery.js';
import type {
  DetailedRecoveryStatisticsView,
  RecoveryHealthView,
  RecoveryStatisticsView,
} from '../schemas/error-recovery.js';
import type { GenerationView } from '../schemas/generation-view.js';
import { hoursQuerySchema } from '../schemas/hours-query.js';
import { parsedBody } from '../schemas/parsed-body.js';
import { parsedQuery } from '../schemas/parsed-query.js';
import type { ReadStatistics, RecoveryCounts, Statistics } from '../statistics/read-statistics.js';
import { recoveryRateOf, totalOf } from '../statistics/statistics-view.js';
import { defineRoute } from './define-route.js';
import { generationIdOf, generationNotFound } from './generation-id.js';

export interface ErrorRecoveryRoutesDeps {
  readonly readStatistics: ReadStatistics;
  readonly checkpoints: Checkpoints;
  readonly acceptGeneration: AcceptGeneration;
  readonly retryGeneration: RetryGeneration;
  readonly retryFailed: RetryFailed;
  readonly reader: GenerationReader;
  readonly checkReadiness: CheckReadiness;
}

const BASE = '/api/error-recovery';

/** R5.10: the interface of an older system over the same generations. */
export function errorRecoveryRoutes(deps: ErrorRecoveryRoutesDeps): Router {
  const router = Router();
  defineRoute(router, `${BASE}/jobs/submit`, { post: [jsonBody, async (req, res) => submit(deps, req, res)] });
  defineRoute(router, `${BASE}/jobs/retry-failed`, {
    post: [optionalJsonBody, async (req, res) => retryMany(deps, req, res)],
  });
  defineRoute(router, `${BASE}/jobs/:id/status`, { get: async (req, res) => status(deps, req, res) });
  defineRoute(router, `${BASE}/jobs/:id/retry`, {
    post: [optionalJsonBody, async (req, res) => retry(deps, req, res)],
  });
  defineRoute(router, `${BASE}/statistics`, { get: statistics(deps, recoveryStatistics) });
  defineRoute(router, `${BASE}/statistics/detailed`, {
    get: statistics(deps, detailedStatistics),
  });
  defineRoute(router, `${BASE}/cleanup`, {
    async delete(req, res) {
      const { hours } = parsedQuery(hoursQuerySchema, req.query);
      res.json({ success: true, removed_checkpoints: await deps.checkpoints.remove(hours) });
    },
  });
  defineRoute(router, `${BASE}/health`, {
    get: async (_req, res) => {
      const { isReady, isStopped, dependencies } = await deps.checkReadiness();
      res.status(isReady ? 200 : 503).set('Cache-Control', 'no-store');
      res.json({ success: isReady, status: healthOf({ isReady, isStopped }), dependencies });
    },
  });
  return router;
}

function healthOf({ isReady, isStopped }: Pick<Readiness, 'isReady' | 'isStopped'>): RecoveryHealthView['status'] {
  if (!isReady) return 'unhealthy';
  return isStopped ? 'stopped' : 'healthy';
}

async function submit({ acceptGeneration }: ErrorRecoveryRoutesDeps, req: Request, res: Response): Promise<void> {
  const job = parsedBody(jobSubmitSchema, req.body);
  const { prompt, workflow_data: graph, parameters, timeout_minutes: timeoutMinutes, job_type: jobType } = job;
  const changed = changeJobGraph(graph, { prompt: prompt ?? null, parameters });
  if (changed.missing.length > 0) throw noSuchInput(changed.missing);
  const idempotencyKey = idempotencyKeyFrom(req.get('Idempotency-Key'));
  const language = negotiateLanguage(req, res);
  const body = {
    graph: changed.graph,
    metadata: { job_type: jobType },
    ...(timeoutMinutes !== undefined && { timeoutMinutes }),
  };
  const { generationId, isReplay } = await acceptGeneration({ body, idempotencyKey, language });
  if (isReplay) res.set('Idempotent-Replayed', 'true');
  res.status(202).location(`${BASE}/jobs/${generationId}/status`);
  res.json({ success: true, job_id: generationId, status: 'queued' });
}

function noSuchInput(missing: readonly string[]): ProblemError {
  const places = missing.map((field) => ({
    pointer: `/${field}`,
    message:
      field === 'prompt'
        ? 'has no place: no text feeds a positive input of the graph'
        : 'is not an input of any node of the graph',
  }));
  const detail = places.map(({ pointer, message }) => `${pointer} ${message}`).join('; ');
  return new ProblemError('invalid_request', detail, { places });
}

async function status(deps: ErrorRecoveryRoutesDeps, req: Request, res: Response): Promise<void> {
  const id = generationIdOf(req);
  const generation = await existing(deps, id, req, res);
  const availableCheckpoints = await deps.checkpoints.count(id);
  res.json(jobStatusView(generation, { availableCheckpoints, language: negotiateLanguage(req, res) }));
}

async function retry(deps: ErrorRecoveryRoutesDeps, req: Request, res: Response): Promise<void> {
  const id = generationIdOf(req);
  const { force_retry: isForced } = parsedBody(jobRetrySchema, req.body);
  const { error, status: seen } = await existing(deps, id, req, res);
  if (!isForced && error?.retryable === false) {
    throw new ProblemError('generation_not_retryable', `Job ${id} failed with ${error.kind}: ${error.remedy}`);
  }
  if (!isForced && seen === 'CANCELLED') {
    throw new ProblemError(
      'generation_not_retryable',
      `Job ${id} was cancelled; {"force_retry": true} retries it all the same`,
    );
  }
  const idempotencyKey = idempotencyKeyFrom(req.get('Idempotency-Key'));
  const language = negotiateLanguage(req, res);
  const acceptance = await deps.retryGeneration({ id, idempotencyKey, isForced, language });
  if (acceptance === null) throw generationNotFound();
  if (acceptance.isReplay) res.set('Idempotent-Replayed', 'true');
  res.status(202).json({ success: true, job_id: acceptance.generationId, status: 'queued' });
}

async function retryMany({ retryFailed }: ErrorRecoveryRoutesDeps, req: Request, res: Response): Promise<void> {
  const { max_jobs: max } = parsedBody(retryFailedSchema, req.body);
  const idempotencyKey = idempotencyKeyFrom(req.get('Idempotency-Key'));
  const { ids, skipped, isReplay } = await retryFailed({ max, idempotencyKey, language: negotiateLanguage(req, res) });
  if (isReplay) res.set('Idempotent-Replayed', 'true');
  const skippedJobs = skipped.map(({ id, reason }) => ({ job_id: id, reason }));
  res.status(202).json({ success: true, count: ids.length, retried_job_ids: ids, skipped_jobs: skippedJobs });
}

function statistics(
  { readStatistics }: ErrorRecoveryRoutesDeps,
  viewOf: (statistics: Statistics) => RecoveryStatisticsView,
): RequestHandler {
  return async (req, res) => {
    const { hours } = parsedQuery(hoursQuerySchema, req.query);
    res.json(viewOf(await readStatistics(hours)));
  };
}

function recoveryStatistics({ byKind }: Statistics): RecoveryStatisticsView {
  const errors = totalOf(byKind);
  const rate = recoveryRateOf(errors);
  return {
    total_errors: errors.total,
    successful_recoveries: errors.recovered,
    failed_recoveries: errors.failed,
    recovery_rate: rate === null ? null : Math.round(rate * 1_000) / 10,
    error_distribution: errorDistribution(byKind),
  };
}

function detailedStatistics(read: Statistics): DetailedRecoveryStatisticsView {
  const { byKind, byStrategy, byStatus, seconds } = read;
  const countsOf = ({ total, recovered, failed, underWay }: RecoveryCounts) => ({
    ...{ total, recovered, failed, under_way: underWay },
  });
  return {
    ...recoveryStatistics(read),
    by_kind: byKind.map((row) => ({ kind: row.kind.toLowerCase(), ...countsOf(row) })),
    by_strategy: byStrategy.map((row) => ({ strategy: row.strategy, ...countsOf(row) })),
    jobs: Object.fromEntries(Object.entries(byStatus).map(([status, count]) => [status.toLowerCase(), count])),
    seconds,
  };
}

async function existing(
  { reader }: ErrorRecoveryRoutesDeps,
  ...[id, req, res]: [string, Request, Response]
): Promise<GenerationView> {
  const view = await reader.read(id, negotiateLanguage(req, res));
  if (view === null) throw generationNotFound();
  return view;
}
