import type { Request } from 'express';
import { answers, queryValue } from '../answers.js';
import { jobOfFinished, jobOfQueued, jobStatuses } from '../jobs.js';
import type { Job, JobStatus } from '../jobs.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';
import type { ServerVersion } from '../server-versions.js';

/** A query parameter that cannot be used: 400 with this text. */
class BadQuery extends Error {
  override readonly name = 'BadQuery';
}

/** GET /api/jobs and /api/jobs/{id} (since ComfyUI 0.6.0), only under /api. */
export function jobRoutes(parts: ServerParts): readonly Route[] {
  if (parts.options.version.jobs === 'none') return [];
  return [
    {
      method: 'GET',
      path: '/api/jobs',
      handle: (request, response) => {
        try {
          answers.json(response, 200, page(parts, request));
        } catch (error) {
          if (!(error instanceof BadQuery)) throw error;
          answers.json(response, 400, { error: error.message });
        }
      },
    },
    {
      method: 'GET',
      path: '/api/jobs/:jobId',
      handle: (request, response) => {
        const job = jobOf(parts, String(request.params['jobId']));
        if (job === null) answers.json(response, 404, { error: 'Job not found' });
        else answers.json(response, 200, job);
      },
    },
  ];
}

function jobOf({ queue, history, options: { version } }: ServerParts, promptId: string): Job | null {
  const form = { version, details: true };
  const entry = history.get(promptId);
  if (entry !== undefined) return jobOfFinished(promptId, entry, form);
  if (queue.running?.promptId === promptId) return jobOfQueued(queue.running, 'in_progress', form);
  const pending = queue.pending.find((item) => item.promptId === promptId);
  return pending === undefined ? null : jobOfQueued(pending, 'pending', form);
}

function page(parts: ServerParts, request: Request): unknown {
  const wanted = statusesOf(request, parts.options.version);
  const workflowId = queryValue(request, 'workflow_id');
  const { sortBy, isAscending } = sortingOf(request);
  const limit = limitOf(request);
  const offset = Math.max(0, integerOf(request, 'offset') ?? 0);
  const jobs = allJobs(parts)
    .filter((job) => wanted.includes(job.status))
    .filter((job) => workflowId === null || workflowId === '' || job['workflow_id'] === workflowId)
    .map((job, index) => ({ job, index }))
    .sort((one, other) => {
      const difference = rank(one.job, sortBy) - rank(other.job, sortBy) || one.index - other.index;
      return isAscending ? difference : -difference;
    })
    .map(({ job }) => job);
  const shown = jobs.slice(offset, limit === null ? undefined : offset + limit);
  const hasMore = limit !== null && offset + shown.length < jobs.length;
  return { jobs: shown, pagination: { offset, limit, total: jobs.length, has_more: hasMore } };
}

/** Oldest first, so that equal times keep the order in which they came. */
function allJobs({ queue, history, options: { version } }: ServerParts): Job[] {
  const form = { version, details: false };
  return [
    ...history.entries().map(([promptId, entry]) => jobOfFinished(promptId, entry, form)),
    ...(queue.running === null ? [] : [jobOfQueued(queue.running, 'in_progress', form)]),
    ...queue.pending.map((item) => jobOfQueued(item, 'pending', form)),
  ];
}

function rank(job: Job, sortBy: 'created_at' | 'execution_duration'): number {
  if (sortBy === 'created_at') return job.create_time ?? 0;
  return (job.execution_end_time ?? 0) - (job.execution_start_time ?? 0);
}

function statusesOf(request: Request, version: ServerVersion): readonly JobStatus[] {
  const known = jobStatuses(version);
  const text = queryValue(request, 'status');
  if (text === null || text.trim() === '') return known;
  const given = text.split(',').map((each) => each.trim().toLowerCase());
  const unknown = given.filter((each) => each !== '' && !known.some((status) => status === each));
  if (unknown.length > 0) {
    throw new BadQuery(`Invalid status value(s): ${unknown.join(', ')}. Valid values: ${known.join(', ')}`);
  }
  return known.filter((status) => given.includes(status));
}

function sortingOf(request: Request): { sortBy: 'created_at' | 'execution_duration'; isAscending: boolean } {
  const sortBy = queryValue(request, 'sort_by') ?? 'created_at';
  const sortOrder = queryValue(request, 'sort_order') ?? 'desc';
  if (sortBy !== 'created_at' && sortBy !== 'execution_duration') {
    throw new BadQuery("sort_by must be 'created_at' or 'execution_duration'");
  }
  if (sortOrder !== 'asc' && sortOrder !== 'desc') throw new BadQuery("sort_order must be 'asc' or 'desc'");
  return { sortBy, isAscending: sortOrder === 'asc' };
}

function limitOf(request: Request): number | null {
  const limit = integerOf(request, 'limit');
  if (limit !== null && limit <= 0) throw new BadQuery('limit must be a positive integer');
  return limit;
}

function integerOf(request: Request, name: string): number | null {
  const text = queryValue(request, name);
  if (text === null) return null;
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw new BadQuery(`${name} must be an integer`);
  return Number(text);
}
